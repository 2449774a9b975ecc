// What all operators here share: attributes, shapes, and the dropout that a key describes.
//
// An operator gets its arrays through MXNet's extension interface (mxnet/lib_api.h), all of float32 unless said
// otherwise. That interface does not pass on how a result is to be stored, so every output is overwritten; see
// accelerate.py for why that is enough.

#pragma once

#include <omp.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <unordered_map>
#include <vector>

#include "mxnet/lib_api.h"

namespace snli {

using mxnet::ext::MXReturnValue;
using mxnet::ext::MXTensor;
using mxnet::ext::OpResource;
using mxnet::ext::MX_FAIL;
using mxnet::ext::MX_SUCCESS;

using Attributes = std::unordered_map<std::string, std::string>;
using Shape = std::vector<unsigned int>;
using Shapes = std::vector<Shape>;
using Tensors = std::vector<MXTensor>;

inline double number(const Attributes& attributes, const char* name, double otherwise) {
  const auto found = attributes.find(name);
  return found == attributes.end() ? otherwise : std::stod(found->second);
}

inline int integer(const Attributes& attributes, const char* name, int otherwise) {
  return static_cast<int>(number(attributes, name, otherwise));
}

inline int64_t product(const std::vector<int64_t>& shape, size_t first, size_t last) {
  int64_t result = 1;
  for (size_t i = first; i < last; ++i) result *= shape[i];
  return result;
}

// All inputs are float32 but those given in `integers`, which are int32; all outputs are float32.
inline MXReturnValue float_types(const std::vector<int>& integers, std::vector<int>* in, std::vector<int>* out) {
  for (size_t i = 0; i < in->size(); ++i) {
    int expected = mxnet::ext::kFloat32;
    for (const int index : integers) {
      if (static_cast<size_t>(index) == i) expected = mxnet::ext::kInt32;
    }
    if ((*in)[i] == -1) (*in)[i] = expected;
    if ((*in)[i] != expected) {
      MX_ERROR_MSG << "input " << i << " must be " << (expected == mxnet::ext::kInt32 ? "int32" : "float32");
      return MX_FAIL;
    }
  }
  for (auto& type : *out) type = mxnet::ext::kFloat32;
  return MX_SUCCESS;
}

inline MXReturnValue all_float(const Attributes&, std::vector<int>* in, std::vector<int>* out) {
  return float_types({}, in, out);
}

inline Shape with_last_axis(Shape shape, unsigned int size) {
  shape.back() = size;
  return shape;
}

// An operator of what a file has under the names `forward`, `backward`, `parse` and `shapes`.
#define SNLI_OPERATOR(name, types)  \
  REGISTER_OP(name)                 \
      .setForward(forward, "cpu")   \
      .setBackward(backward, "cpu") \
      .setParseAttrs(parse)         \
      .setInferType(types)          \
      .setInferShape(shapes)

// The 32-bit finaliser "lowbias32" of Chris Wellons' hash prospector.
inline uint32_t mix(uint32_t x) {
  x ^= x >> 16;
  x *= 0x7feb352dU;
  x ^= x >> 15;
  x *= 0x846ca68bU;
  x ^= x >> 16;
  return x;
}

constexpr int kKeySize = 64;

// A dropout mask as a function of (key, index): nothing is stored, the backward pass computes it again.
//
// The key is what MXNet's own Dropout, at rate 1/2, makes of 64 ones: zeros and twos in training, 64 random bits that
// follow mx.random.seed; ones where MXNet does not train, and then nothing is dropped.
struct Dropout {
  bool is_on = false;
  float scale = 1.0f;
  uint32_t first = 0, second = 0, threshold = 0;

  Dropout() = default;

  Dropout(const Attributes& attributes, const float* key) {
    const double rate = number(attributes, "p", 0.0);
    if (!key || rate <= 0.0 || key[0] == 1.0f) return;
    for (int i = 0; i < 32; ++i) {
      first |= static_cast<uint32_t>(key[i] != 0.0f) << i;
      second |= static_cast<uint32_t>(key[32 + i] != 0.0f) << i;
    }
    threshold = static_cast<uint32_t>(rate * 4294967296.0);
    scale = static_cast<float>(1.0 / (1.0 - rate));
    is_on = true;
  }

  // What element `index` is multiplied by: 0 or 1 / (1 - rate).
  inline float operator()(uint32_t index) const {
    return mix(mix(index + first) ^ second) >= threshold ? scale : 0.0f;
  }
};

}  // namespace snli
