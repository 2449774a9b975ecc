// _snli_layer_norm: LayerNorm(dropout(data + bias) + residual) over the last axis, in one pass over memory.
//
// Inputs: data (..., C), gamma (C,), beta (C,), then residual (..., C) if attribute residual=1, bias (C,) if use_bias=1,
// and the dropout key if dropout=1. Attributes: eps, p. Outputs: the result (..., C); mean and 1 / standard deviation of
// each row.

#include "group_sums.h"
#include "layer_norm.h"
#include "operator.h"

namespace snli {
namespace {

struct Arrays {
  const float *data, *gamma, *beta, *residual, *bias, *key;

  Arrays(const Attributes& attributes, Tensors& in, size_t offset) {
    data = in[offset].data<float>();
    gamma = in[offset + 1].data<float>();
    beta = in[offset + 2].data<float>();
    size_t next = offset + 3;
    residual = integer(attributes, "residual", 0) ? in[next++].data<float>() : nullptr;
    bias = integer(attributes, "use_bias", 0) ? in[next++].data<float>() : nullptr;
    key = integer(attributes, "dropout", 0) ? in[next].data<float>() : nullptr;
  }

  // dropout(data + bias) + residual of one row.
  void sum(int64_t row, int width, const Dropout& dropout, float* out) const {
    const float* x = data + row * width;
    const uint32_t start = static_cast<uint32_t>(row * width);
    std::memcpy(out, x, width * sizeof(float));
    if (bias) {
#pragma omp simd
      for (int j = 0; j < width; ++j) out[j] += bias[j];
    }
    if (dropout.is_on) {
#pragma omp simd
      for (int j = 0; j < width; ++j) out[j] *= dropout(start + j);
    }
    if (residual) {
      const float* r = residual + row * width;
#pragma omp simd
      for (int j = 0; j < width; ++j) out[j] += r[j];
    }
  }
};

MXReturnValue forward(const Attributes& attributes, Tensors* inputs, Tensors* outputs, const OpResource&) {
  const Arrays in(attributes, *inputs, 0);
  const auto& shape = (*inputs)[0].shape;
  const int width = static_cast<int>(shape.back());
  const int64_t rows = product(shape, 0, shape.size() - 1);
  const float eps = static_cast<float>(number(attributes, "eps", 1e-5));
  const Dropout dropout(attributes, in.key);
  float* out = (*outputs)[0].data<float>();
  float* statistics = (*outputs)[1].data<float>();

#pragma omp parallel
  {
    std::vector<float> sum(width);
    float* h = sum.data();
#pragma omp for schedule(static)
    for (int64_t row = 0; row < rows; ++row) {
      in.sum(row, width, dropout, h);
      const Statistics found = normalize(h, width, in.gamma, in.beta, eps, out + row * width);
      statistics[2 * row] = found.mean;
      statistics[2 * row + 1] = found.inverse;
    }
  }
  return MX_SUCCESS;
}

MXReturnValue backward(const Attributes& attributes, Tensors* inputs, Tensors* outputs, const OpResource&) {
  const float* gradient = (*inputs)[0].data<float>();
  const Arrays in(attributes, *inputs, 2);
  const float* statistics = inputs->back().data<float>();
  const auto& shape = (*inputs)[2].shape;
  const int width = static_cast<int>(shape.back());
  const int64_t rows = product(shape, 0, shape.size() - 1);
  const Dropout dropout(attributes, in.key);
  float* d_data = (*outputs)[0].data<float>();
  float* d_residual = in.residual ? (*outputs)[3].data<float>() : nullptr;

  enum { kGamma, kBeta, kBias, kSums };
  GroupSums sums(kSums, width);
#pragma omp parallel
  {
    std::vector<float> buffer(width);
    float* h = buffer.data();
#pragma omp for schedule(static)
    for (int group = 0; group < kGroups; ++group) {
      float *d_gamma = sums.part(group, kGamma), *d_beta = sums.part(group, kBeta), *d_bias = sums.part(group, kBias);
      for (int64_t row = rows * group / kGroups; row < rows * (group + 1) / kGroups; ++row) {
        in.sum(row, width, dropout, h);
        const float mean = statistics[2 * row], inverse = statistics[2 * row + 1];
        const float* dy = gradient + row * width;
        float mean_d = 0.0f, mean_dh = 0.0f;
#pragma omp simd reduction(+ : mean_d, mean_dh)
        for (int j = 0; j < width; ++j) {
          h[j] = (h[j] - mean) * inverse;
          const float d = dy[j] * in.gamma[j];
          mean_d += d;
          mean_dh += d * h[j];
          d_gamma[j] += dy[j] * h[j];
          d_beta[j] += dy[j];
        }
        mean_d /= width;
        mean_dh /= width;
        float* dx = d_data + row * width;
#pragma omp simd
        for (int j = 0; j < width; ++j) dx[j] = inverse * (dy[j] * in.gamma[j] - mean_d - h[j] * mean_dh);
        if (d_residual) std::memcpy(d_residual + row * width, dx, width * sizeof(float));
        if (dropout.is_on) {
          const uint32_t start = static_cast<uint32_t>(row * width);
#pragma omp simd
          for (int j = 0; j < width; ++j) dx[j] *= dropout(start + j);
        }
        if (in.bias) {
#pragma omp simd
          for (int j = 0; j < width; ++j) d_bias[j] += dx[j];
        }
      }
    }
  }
  sums.add_up(kGamma, (*outputs)[1].data<float>());
  sums.add_up(kBeta, (*outputs)[2].data<float>());
  if (in.bias) sums.add_up(kBias, (*outputs)[in.residual ? 4 : 3].data<float>());
  if (in.key) std::memset(outputs->back().data<float>(), 0, kKeySize * sizeof(float));
  return MX_SUCCESS;
}

MXReturnValue parse(const Attributes& attributes, int* num_in, int* num_out) {
  *num_in = 3 + integer(attributes, "residual", 0) + integer(attributes, "use_bias", 0) + integer(attributes, "dropout", 0);
  *num_out = 2;
  return MX_SUCCESS;
}

MXReturnValue shapes(const Attributes& attributes, Shapes* in, Shapes* out) {
  const Shape data = (*in)[0];
  if (data.empty()) {
    MX_ERROR_MSG << "the shape of the data is not known";
    return MX_FAIL;
  }
  (*in)[1] = (*in)[2] = {data.back()};
  size_t next = 3;
  if (integer(attributes, "residual", 0)) {
    if ((*in)[next].empty()) (*in)[next] = data;
    if ((*in)[next] != data) {
      MX_ERROR_MSG << "data and residual are of different shapes";
      return MX_FAIL;
    }
    ++next;
  }
  if (integer(attributes, "use_bias", 0)) (*in)[next++] = {data.back()};
  if (integer(attributes, "dropout", 0)) (*in)[next] = {kKeySize};
  (*out)[0] = data;
  Shape statistics(data.begin(), data.end() - 1);
  statistics.push_back(2);
  (*out)[1] = statistics;
  return MX_SUCCESS;
}

}  // namespace

SNLI_OPERATOR(_snli_layer_norm, all_float);

}  // namespace snli
