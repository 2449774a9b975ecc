// Dense layers for inference, whose weights were packed once.
//
// What is said to be done by a team is called by all threads of a parallel region, with the same arguments; they
// share the work, and it is done when a call returns.

#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "simd.h"

namespace snli {

enum class Activation : int64_t { kNone, kGelu, kApproximateGelu, kRelu, kTanh };

// activation(x weight^T + bias). The program that packs the weights makes it: only pointers and 64-bit numbers.
struct DenseLayer {
  const void* weight;    // float32: (panels, depth, panel); int8: (blocks, ceil(depth / 4), 64, 4)
  const float* columns;  // float32: the bias (units,); int8: (3, 64 * blocks), see dense_int8.cc
  int64_t is_int8, depth, units;
  Activation activation;
};

// Rows of inputs with 8 bits, kept by whoever calls a team.
struct QuantizedRows {
  struct alignas(64) Line {
    uint8_t bytes[64];
  };
  std::vector<Line> values;
  std::vector<float> lowest, step;

  void make_room(int64_t rows, int64_t depth);
};

// out (rows, units) = layer(data (rows, depth)), by a team.
void apply_packed(const DenseLayer& layer, int64_t rows, const float* data, float* out);
void apply_int8(const DenseLayer& layer, int64_t rows, const float* data, float* out, QuantizedRows& quantized);

inline void apply(const DenseLayer& layer, int64_t rows, const float* data, float* out, QuantizedRows& quantized) {
  if (layer.is_int8) {
    apply_int8(layer, rows, data, out, quantized);
  } else {
    apply_packed(layer, rows, data, out);
  }
}

// The form of GELU with tanh: x / (1 + exp(-2 u)).
inline float approximate_gelu(float x) {
  const float u = 0.79788456080286536f * (x + 0.044715f * x * x * x), power = -2.0f * u;
  return x / (1.0f + exponential(power < 88.0f ? power : 88.0f));
}

inline void activate(Activation activation, float* numbers, int64_t count) {
  if (activation == Activation::kGelu) {
#pragma omp simd
    for (int64_t j = 0; j < count; ++j) numbers[j] = gelu(numbers[j]);
  } else if (activation == Activation::kApproximateGelu) {
#pragma omp simd
    for (int64_t j = 0; j < count; ++j) numbers[j] = approximate_gelu(numbers[j]);
  } else if (activation == Activation::kRelu) {
#pragma omp simd
    for (int64_t j = 0; j < count; ++j) numbers[j] = numbers[j] < 0.0f ? 0.0f : numbers[j];
  } else if (activation == Activation::kTanh) {
    for (int64_t j = 0; j < count; ++j) numbers[j] = std::tanh(numbers[j]);
  }
}

}  // namespace snli
