// _snli_dropout: the data with a share of its elements set to zero and the others made larger.
//
// Inputs: data of any shape, the dropout key. Attribute: p, the share.

#include <algorithm>

#include "operator.h"

namespace snli {
namespace {

constexpr int64_t kChunk = 4096;  // elements a thread takes at once

void apply(const float* from, float* to, int64_t size, const Dropout& dropout) {
  if (!dropout.is_on) {
    std::memcpy(to, from, size * sizeof(float));
    return;
  }
#pragma omp parallel for schedule(static)
  for (int64_t start = 0; start < size; start += kChunk) {
    const int64_t end = std::min(size, start + kChunk);
#pragma omp simd
    for (int64_t i = start; i < end; ++i) to[i] = from[i] * dropout(static_cast<uint32_t>(i));
  }
}

MXReturnValue forward(const Attributes& attributes, Tensors* inputs, Tensors* outputs, const OpResource&) {
  apply((*inputs)[0].data<float>(), (*outputs)[0].data<float>(), (*inputs)[0].size(),
        Dropout(attributes, (*inputs)[1].data<float>()));
  return MX_SUCCESS;
}

MXReturnValue backward(const Attributes& attributes, Tensors* inputs, Tensors* outputs, const OpResource&) {
  apply((*inputs)[0].data<float>(), (*outputs)[0].data<float>(), (*inputs)[0].size(),
        Dropout(attributes, (*inputs)[2].data<float>()));
  std::memset((*outputs)[1].data<float>(), 0, kKeySize * sizeof(float));
  return MX_SUCCESS;
}

MXReturnValue parse(const Attributes&, int* num_in, int* num_out) {
  *num_in = 2;
  *num_out = 1;
  return MX_SUCCESS;
}

MXReturnValue shapes(const Attributes&, Shapes* in, Shapes* out) {
  (*out)[0] = (*in)[0];
  (*in)[1] = {kKeySize};
  return MX_SUCCESS;
}

}  // namespace

SNLI_OPERATOR(_snli_dropout, all_float);

}  // namespace snli
