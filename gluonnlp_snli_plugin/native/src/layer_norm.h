// LayerNorm of one row.

#pragma once

#include <cmath>

namespace snli {

struct Statistics {
  float mean, inverse;  // inverse: 1 / standard deviation
};

// out = (row - mean) / deviation * gamma + beta; `out` may be `row`.
inline Statistics normalize(const float* row, int width, const float* gamma, const float* beta, float eps, float* out) {
  float total = 0.0f, squares = 0.0f;
#pragma omp simd reduction(+ : total)
  for (int j = 0; j < width; ++j) total += row[j];
  const float mean = total / width;
#pragma omp simd reduction(+ : squares)
  for (int j = 0; j < width; ++j) squares += (row[j] - mean) * (row[j] - mean);
  const float inverse = 1.0f / std::sqrt(squares / width + eps);
#pragma omp simd
  for (int j = 0; j < width; ++j) out[j] = (row[j] - mean) * inverse * gamma[j] + beta[j];
  return {mean, inverse};
}

}  // namespace snli
