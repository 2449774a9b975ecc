// _snli_gelu: x * Phi(x), Phi being the distribution function of the standard normal (exact, not the tanh form).

#include <algorithm>

#include "operator.h"
#include "simd.h"

namespace snli {
namespace {

constexpr int64_t kChunk = 4096;  // elements: both arrays of a chunk stay in the first-level cache

MXReturnValue forward(const Attributes&, Tensors* inputs, Tensors* outputs, const OpResource&) {
  const float* x = (*inputs)[0].data<float>();
  float* y = (*outputs)[0].data<float>();
  const int64_t size = (*inputs)[0].size();
#pragma omp parallel for schedule(static)
  for (int64_t start = 0; start < size; start += kChunk) {
    const int64_t end = std::min(size, start + kChunk);
#pragma omp simd
    for (int64_t i = start; i < end; ++i) y[i] = gelu(x[i]);
  }
  return MX_SUCCESS;
}

MXReturnValue backward(const Attributes&, Tensors* inputs, Tensors* outputs, const OpResource&) {
  const float* dy = (*inputs)[0].data<float>();
  const float* x = (*inputs)[1].data<float>();
  float* dx = (*outputs)[0].data<float>();
  const int64_t size = (*inputs)[0].size();
#pragma omp parallel for schedule(static)
  for (int64_t start = 0; start < size; start += kChunk) {
    const int64_t end = std::min(size, start + kChunk);
#pragma omp simd
    for (int64_t i = start; i < end; ++i) dx[i] = dy[i] * gelu_slope(x[i]);
  }
  return MX_SUCCESS;
}

MXReturnValue parse(const Attributes&, int* num_in, int* num_out) {
  *num_in = *num_out = 1;
  return MX_SUCCESS;
}

MXReturnValue shapes(const Attributes&, Shapes* in, Shapes* out) {
  (*out)[0] = (*in)[0];
  return MX_SUCCESS;
}

}  // namespace

SNLI_OPERATOR(_snli_gelu, all_float);

}  // namespace snli
