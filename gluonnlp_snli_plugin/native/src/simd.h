// Arithmetic that compilers can put into vector registers: functions without branches or calls, and a small matrix
// product for matrices that fit a core's own cache.

#pragma once

#include <cstdint>
#include <cstring>

#ifdef __AVX512F__
#include <immintrin.h>
#endif

namespace snli {

#ifdef __AVX512F__
constexpr int kLanes = 16;
#else
constexpr int kLanes = 8;
#endif
typedef float Vector __attribute__((vector_size(kLanes * sizeof(float)), aligned(4), may_alias));
typedef int32_t Integers __attribute__((vector_size(kLanes * sizeof(int32_t)), aligned(4), may_alias));

inline int round_up(int n) { return (n + kLanes - 1) / kLanes * kLanes; }
inline Vector load(const float* from) { return *reinterpret_cast<const Vector*>(from); }
inline void store(float* to, Vector values) { *reinterpret_cast<Vector*>(to) = values; }

// Rows and columns of a matrix of 4-byte numbers exchanged; it has multiples of kLanes of both.
template <class Number>
inline void transpose(const Number* from, int64_t from_step, int rows, int columns, Number* to, int64_t to_step) {
  static_assert(sizeof(Number) == 4, "");
  for (int i = 0; i < rows; i += kLanes) {
    for (int j = 0; j < columns; j += kLanes) {
      const Number* square = from + i * from_step + j;
      Number* turned = to + j * to_step + i;
#ifdef __AVX512F__
      __m512i a[16], b[16];
#pragma GCC unroll 16
      for (int k = 0; k < 16; ++k) a[k] = _mm512_loadu_si512(square + k * from_step);
#pragma GCC unroll 8
      for (int k = 0; k < 16; k += 2) {
        b[k] = _mm512_unpacklo_epi32(a[k], a[k + 1]);
        b[k + 1] = _mm512_unpackhi_epi32(a[k], a[k + 1]);
      }
#pragma GCC unroll 4
      for (int k = 0; k < 16; k += 4) {
        a[k] = _mm512_unpacklo_epi64(b[k], b[k + 2]);
        a[k + 1] = _mm512_unpackhi_epi64(b[k], b[k + 2]);
        a[k + 2] = _mm512_unpacklo_epi64(b[k + 1], b[k + 3]);
        a[k + 3] = _mm512_unpackhi_epi64(b[k + 1], b[k + 3]);
      }
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) {
        b[k] = _mm512_shuffle_i32x4(a[k], a[k + 4], 0x88);
        b[k + 4] = _mm512_shuffle_i32x4(a[k], a[k + 4], 0xdd);
        b[k + 8] = _mm512_shuffle_i32x4(a[k + 8], a[k + 12], 0x88);
        b[k + 12] = _mm512_shuffle_i32x4(a[k + 8], a[k + 12], 0xdd);
      }
#pragma GCC unroll 8
      for (int k = 0; k < 8; ++k) {
        _mm512_storeu_si512(turned + k * to_step, _mm512_shuffle_i32x4(b[k], b[k + 8], 0x88));
        _mm512_storeu_si512(turned + (k + 8) * to_step, _mm512_shuffle_i32x4(b[k], b[k + 8], 0xdd));
      }
#else
      for (int k = 0; k < kLanes; ++k) {
        for (int l = 0; l < kLanes; ++l) turned[l * to_step + k] = square[k * from_step + l];
      }
#endif
    }
  }
}

// The numbers of a vector made one: one half with the other, until four are left.
template <int width, class Values, class Operation>
inline float reduce(Values values, Operation operation) {
  if constexpr (width > 4) {
    typedef float Half __attribute__((vector_size(width / 2 * sizeof(float))));
    Half low, high;
    std::memcpy(&low, &values, sizeof(low));
    std::memcpy(&high, reinterpret_cast<const char*>(&values) + sizeof(low), sizeof(high));
    return reduce<width / 2>(operation(low, high), operation);
  } else {
    return operation(operation(values[0], values[1]), operation(values[2], values[3]));
  }
}

// exp(x) of a float (Bits: int32_t) or a Vector (Bits: Integers) to 2 units in the last place, -87 <= x <= 88. As in
// Cephes: 2^n times a polynomial.
template <class Bits, class Real>
inline Real exponential_of(Real x) {
  constexpr float kToInteger = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const Real shifted = x * 1.44269504088896341f + kToInteger;
  const Real n = shifted - kToInteger;
  const Real r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  Real p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  Bits bits;
  std::memcpy(&bits, &shifted, sizeof(bits));
  bits = (bits + 127) << 23;  // the low bits of `shifted` are n
  Real power;
  std::memcpy(&power, &bits, sizeof(power));
  return p * power;
}

// The same for any x <= 88.
inline float exponential(float x) { return x < -87.0f ? 0.0f : exponential_of<int32_t>(x); }
inline Vector exponential(Vector x) {
  const Vector zero = {};
  return x < -87.0f ? zero : exponential_of<Integers>(x);
}

// The distribution function of the standard normal, to 1e-7: Abramowitz and Stegun, 7.1.26. `power` is exp(-x^2 / 2).
template <class Real>
inline Real normal_distribution(Real x, Real power) {
  const Real z = (x < 0.0f ? -x : x) * 0.70710678118654752f;
  const Real t = 1.0f / (1.0f + 0.3275911f * z);
  Real p = 1.061405429f * t - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  const Real tail = 0.5f * p * t * power;  // of the side that x is on
  return x < 0.0f ? tail : 1.0f - tail;
}

template <class Real>
inline Real gelu(Real x) {
  return x * normal_distribution(x, exponential(-0.5f * x * x));
}

template <class Real>
inline Real gelu_slope(Real x) {
  const Real power = exponential(-0.5f * x * x);
  return normal_distribution(x, power) + x * (0.3989422804014327f * power);
}

// R rows and V vectors of a product, held in registers.
template <int R, int V>
inline void product_tile(const float* a, int64_t row, int64_t column, const float* b, int b_width, float* c,
                         int64_t c_width, int depth, bool is_added) {
  Vector sum[R][V];
  for (int i = 0; i < R; ++i) {
    for (int j = 0; j < V; ++j) {
      sum[i][j] = is_added ? load(c + i * c_width + j * kLanes) : Vector{};
    }
  }
  for (int k = 0; k < depth; ++k) {
    Vector right[V];
    for (int j = 0; j < V; ++j) right[j] = load(b + k * b_width + j * kLanes);
    for (int i = 0; i < R; ++i) {
      const float left = a[i * row + k * column];
      for (int j = 0; j < V; ++j) sum[i][j] += left * right[j];
    }
  }
  for (int i = 0; i < R; ++i) {
    for (int j = 0; j < V; ++j) store(c + i * c_width + j * kLanes, sum[i][j]);
  }
}

template <int R>
inline void product_rows(const float* a, int64_t row, int64_t column, const float* b, int b_width, float* c,
                         int64_t c_width, int width, int depth, bool is_added) {
  int j = 0;
  for (; j + 2 * kLanes <= width; j += 2 * kLanes) {
    product_tile<R, 2>(a, row, column, b + j, b_width, c + j, c_width, depth, is_added);
  }
  if (j < width) product_tile<R, 1>(a, row, column, b + j, b_width, c + j, c_width, depth, is_added);
}

// c = a b, or c += a b: a is (height, depth) with any steps from row to row and from column to column; b (depth, width)
// and c (height, width) lie row by row, `width` being a multiple of kLanes.
inline void multiply(const float* a, int64_t row, int64_t column, const float* b, float* c, int height, int width,
                     int depth, bool is_added = false) {
  int i = 0;
  for (; i + 6 <= height; i += 6) {
    product_rows<6>(a + i * row, row, column, b, width, c + int64_t{i} * width, width, width, depth, is_added);
  }
  for (; i + 2 <= height; i += 2) {
    product_rows<2>(a + i * row, row, column, b, width, c + int64_t{i} * width, width, width, depth, is_added);
  }
  if (i < height) {
    product_rows<1>(a + i * row, row, column, b, width, c + int64_t{i} * width, width, width, depth, is_added);
  }
}

}  // namespace snli
