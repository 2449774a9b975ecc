// _snli_gelu: x * Phi(x), Phi being the distribution function of the standard normal (exact, not the tanh form).
//
// Inputs: data (..., C), and with use_bias=1 bias (C,), which is added to the data before. Output: (..., C).

#include "group_sums.h"
#include "operator.h"
#include "simd.h"

namespace snli {
namespace {

struct Sizes {
  int64_t rows, width;

  explicit Sizes(const MXTensor& data) : rows(product(data.shape, 0, data.shape.size() - 1)), width(data.shape.back()) {}
};

bool has_bias(const Attributes& attributes) { return integer(attributes, "use_bias", 0); }

MXReturnValue forward(const Attributes& attributes, Tensors* inputs, Tensors* outputs, const OpResource&) {
  const Sizes sizes((*inputs)[0]);
  const float* data = (*inputs)[0].data<float>();
  const std::vector<float> zeros(has_bias(attributes) ? 0 : sizes.width);
  const float* bias = has_bias(attributes) ? (*inputs)[1].data<float>() : zeros.data();
  float* out = (*outputs)[0].data<float>();
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < sizes.rows; ++row) {
    const float* x = data + row * sizes.width;
    float* y = out + row * sizes.width;
#pragma omp simd
    for (int64_t j = 0; j < sizes.width; ++j) y[j] = gelu(x[j] + bias[j]);
  }
  return MX_SUCCESS;
}

MXReturnValue backward(const Attributes& attributes, Tensors* inputs, Tensors* outputs, const OpResource&) {
  const Sizes sizes((*inputs)[1]);
  const float *gradient = (*inputs)[0].data<float>(), *data = (*inputs)[1].data<float>();
  const bool with_bias = has_bias(attributes);
  const std::vector<float> zeros(with_bias ? 0 : sizes.width);
  const float* bias = with_bias ? (*inputs)[2].data<float>() : zeros.data();
  float* of_data = (*outputs)[0].data<float>();
  GroupSums of_bias(1, sizes.width);
#pragma omp parallel for schedule(static)
  for (int group = 0; group < kGroups; ++group) {
    float* sum = of_bias.part(group, 0);
    for (int64_t row = sizes.rows * group / kGroups; row < sizes.rows * (group + 1) / kGroups; ++row) {
      const float *x = data + row * sizes.width, *dy = gradient + row * sizes.width;
      float* dx = of_data + row * sizes.width;
#pragma omp simd
      for (int64_t j = 0; j < sizes.width; ++j) {
        dx[j] = dy[j] * gelu_slope(x[j] + bias[j]);
        sum[j] += dx[j];
      }
    }
  }
  if (with_bias) of_bias.add_up(0, (*outputs)[1].data<float>());
  return MX_SUCCESS;
}

MXReturnValue parse(const Attributes& attributes, int* num_in, int* num_out) {
  *num_in = has_bias(attributes) ? 2 : 1;
  *num_out = 1;
  return MX_SUCCESS;
}

MXReturnValue shapes(const Attributes& attributes, Shapes* in, Shapes* out) {
  const Shape data = (*in)[0];
  if (has_bias(attributes)) {
    if (data.empty()) {
      MX_ERROR_MSG << "the shape of the data is not known";
      return MX_FAIL;
    }
    (*in)[1] = {data.back()};  // MXNet compares it with what is known
  }
  (*out)[0] = data;
  return MX_SUCCESS;
}

}  // namespace

SNLI_OPERATOR(_snli_gelu, all_float);

}  // namespace snli
