// What a dense layer applies to its sums, as its attribute `activation` says: '', 'gelu' or 'relu'.

#pragma once

#include <cstdint>

#include "operator.h"
#include "simd.h"

namespace snli {

enum class Activation { kNone, kGelu, kRelu };

inline Activation activation_of(const Attributes& attributes) {
  const auto found = attributes.find("activation");
  if (found == attributes.end() || found->second.empty()) return Activation::kNone;
  return found->second == "gelu" ? Activation::kGelu : Activation::kRelu;
}

inline void activate(Activation activation, float* numbers, int64_t count) {
  if (activation == Activation::kGelu) {
#pragma omp simd
    for (int64_t j = 0; j < count; ++j) numbers[j] = gelu(numbers[j]);
  } else if (activation == Activation::kRelu) {
#pragma omp simd
    for (int64_t j = 0; j < count; ++j) numbers[j] = numbers[j] > 0.0f ? numbers[j] : 0.0f;
  }
}

}  // namespace snli
