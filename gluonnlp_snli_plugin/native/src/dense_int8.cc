// Dense layers whose weights have 8 bits, and whose inputs get 8 bits as they come, row by row.
//
// The weights (blocks, ceil(depth / 4), 64, 4) have the units in blocks of 64, filled up with zeros; `columns`
// (3, 64 * blocks) has the scale of each unit, its scale times the sum of its weights, and its bias.
//
// A row x is stored as q = round((x - lowest) / step), 0 to 255, so that
//   sum_c x[c] w[c] = step * sum_c q[c] w[c] + lowest * sum_c w[c].
// The sums of products are integers, hence the same on every processor and for any number of threads.
//
// It is there only for processors with instructions that multiply integers of 8 bits and add up four products (VNNI).
// Without them, products of 16 bits would have to be made, which are no faster than those of float32.

#include "inference.h"

#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)

#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "amx.h"

namespace snli {
namespace {

constexpr int kUnits = 64;     // units in a block
#ifdef __AVX512VNNI__
constexpr int kRows = 6;  // rows multiplied with a block at a time: 24 of 32 registers hold sums
#else
constexpr int kRows = 2;  // 8 of 16 registers
#endif
constexpr int kRowGroup = 96;  // rows worked on together: their inputs stay in the second-level cache
constexpr int kAmxRows = 32;   // rows multiplied with a block at a time by AMX
constexpr int kLine = 64;      // bytes

// A row that is not finite gives NaN, as it would without integers.
void quantize_row(const float* x, int width, uint8_t* q, float* lowest, float* step) {
  float low = x[0], high = x[0], zero = 0.0f;
#pragma omp simd reduction(min : low) reduction(max : high) reduction(+ : zero)
  for (int j = 0; j < width; ++j) {
    low = x[j] < low ? x[j] : low;
    high = x[j] > high ? x[j] : high;
    zero += x[j] - x[j];
  }
  const float inverse = high > low ? 255.0f / (high - low) : 0.0f;
  *lowest = low + zero;
  *step = (high - low) / 255.0f;
  if (zero != 0.0f) {  // it is NaN
    std::memset(q, 0, width);
    return;
  }
#pragma omp simd
  for (int j = 0; j < width; ++j) q[j] = static_cast<uint8_t>(static_cast<int32_t>((x[j] - low) * inverse + 0.5f));
}

// A Register holds sums of a few units; `add` adds to them the products of four inputs, the same for all units.
#ifdef __AVX512VNNI__

constexpr int kLanes32 = 16;  // units in a register
using Register = __m512i;

inline Register load(const int8_t* weight) { return _mm512_loadu_si512(weight); }
inline Register broadcast(int32_t four) { return _mm512_set1_epi32(four); }
inline Register zero() { return _mm512_setzero_si512(); }
inline Register add(Register sum, Register left, Register right) { return _mm512_dpbusd_epi32(sum, left, right); }
inline void store(int32_t* result, Register sum) { _mm512_storeu_si512(result, sum); }

#else

constexpr int kLanes32 = 8;
using Register = __m256i;

inline Register load(const int8_t* weight) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weight)); }
inline Register broadcast(int32_t four) { return _mm256_set1_epi32(four); }
inline Register zero() { return _mm256_setzero_si256(); }
inline Register add(Register sum, Register left, Register right) {
  return _mm256_dpbusd_avx_epi32(sum, left, right);
}
inline void store(int32_t* result, Register sum) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(result), sum);
}

#endif

// Sums of R rows, four registers each. Single variables, because compilers keep no array in registers for sure.
template <int R>
struct Sums {
  Sums<R - 1> before;
  Register a = zero(), b = zero(), c = zero(), d = zero();

  inline __attribute__((always_inline)) void add_products(const uint8_t* q, int64_t q_width,
                                                          const Register (&right)[4]) {
    before.add_products(q, q_width, right);
    int32_t four;
    std::memcpy(&four, q + (R - 1) * q_width, sizeof(four));
    const Register left = broadcast(four);
    a = add(a, left, right[0]);
    b = add(b, left, right[1]);
    c = add(c, left, right[2]);
    d = add(d, left, right[3]);
  }

  inline __attribute__((always_inline)) void store_all(int32_t* result) const {
    before.store_all(result);
    result += (R - 1) * kUnits;
    store(result, a);
    store(result + kLanes32, b);
    store(result + 2 * kLanes32, c);
    store(result + 3 * kLanes32, d);
  }
};

template <>
struct Sums<0> {
  void add_products(const uint8_t*, int64_t, const Register (&)[4]) {}
  void store_all(int32_t*) const {}
};

// Sums of products of R rows of inputs and one block of units; result (R, kUnits).
template <int R>
void multiply(const uint8_t* q, const int8_t* weight, int quads, int32_t* result) {
  const int64_t q_width = int64_t{quads} * 4;
  for (int unit = 0; unit < kUnits; unit += 4 * kLanes32) {
    Sums<R> sums;
    for (int k = 0; k < quads; ++k) {
      const int8_t* four = weight + 4 * (k * kUnits + unit);
      const Register right[4] = {load(four), load(four + 4 * kLanes32), load(four + 8 * kLanes32),
                                 load(four + 12 * kLanes32)};
      sums.add_products(q + 4 * k, q_width, right);
    }
    sums.store_all(result + unit);
  }
}

#ifdef SNLI_AMX

// The same of kAmxRows rows; the number of quads is a multiple of 16.
void multiply_with_amx(const uint8_t* q, int64_t q_width, const int8_t* weight, int quads, int32_t* result) {
  constexpr int kHalf = kAmxRows / 2, kTileUnits = 16, kSumBytes = kUnits * sizeof(int32_t);
  for (int unit = 0; unit < kUnits; unit += 2 * kTileUnits, result += 2 * kTileUnits) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int k = 0; k < quads; k += 16) {
      const int8_t* right = weight + 4 * (k * kUnits + unit);
      _tile_loadd(4, q + 4 * k, q_width);
      _tile_loadd(5, q + 4 * k + kHalf * q_width, q_width);
      _tile_loadd(6, right, 4 * kUnits);
      _tile_loadd(7, right + 4 * kTileUnits, 4 * kUnits);
      _tile_dpbusd(0, 4, 6);
      _tile_dpbusd(1, 4, 7);
      _tile_dpbusd(2, 5, 6);
      _tile_dpbusd(3, 5, 7);
    }
    _tile_stored(0, result, kSumBytes);
    _tile_stored(1, result + kTileUnits, kSumBytes);
    _tile_stored(2, result + kHalf * kUnits, kSumBytes);
    _tile_stored(3, result + kHalf * kUnits + kTileUnits, kSumBytes);
  }
}

#else

void multiply_with_amx(const uint8_t*, int64_t, const int8_t*, int, int32_t*) {}

#endif

void finish_row(const DenseLayer& layer, int64_t padded, const int32_t* sums, float lowest, float step, int64_t unit,
                int64_t count, float* y) {
  const float *scale = layer.columns + unit, *sum = scale + padded, *bias = sum + padded;
#pragma omp simd
  for (int64_t j = 0; j < count; ++j) y[j] = sums[j] * step * scale[j] + (lowest * sum[j] + bias[j]);
  activate(layer.activation, y, count);
}

}  // namespace

void QuantizedRows::make_room(int64_t rows, int64_t depth) {
  const int64_t lines = ((rows + kAmxRows - 1) * ((depth + 3) / 4 * 4) + kLine - 1) / kLine;
  values.resize(std::max<size_t>(values.size(), lines));
  lowest.resize(std::max<size_t>(lowest.size(), rows));
  step.resize(lowest.size());
}

void apply_int8(const DenseLayer& layer, int64_t rows, const float* data, float* out, QuantizedRows& quantized) {
  const int quads = static_cast<int>((layer.depth + 3) / 4);
  const int64_t q_width = quads * 4, blocks = (layer.units + kUnits - 1) / kUnits;
  const int64_t groups = (rows + kRowGroup - 1) / kRowGroup;
  const bool with_amx = Amx::is_permitted() && quads % 16 == 0;
  uint8_t* q = quantized.values.data()->bytes;
  float *lowest = quantized.lowest.data(), *step = quantized.step.data();
#pragma omp for schedule(static)
  for (int64_t row = 0; row < rows; ++row) {
    quantize_row(data + row * layer.depth, static_cast<int>(layer.depth), q + row * q_width, lowest + row, step + row);
  }
  [[maybe_unused]] const Amx amx;
#pragma omp for collapse(2) schedule(static)
  for (int64_t group = 0; group < groups; ++group) {
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t unit = block * kUnits, count = std::min<int64_t>(kUnits, layer.units - unit);
      const int8_t* weight = static_cast<const int8_t*>(layer.weight) + unit * q_width;
      const int64_t end = std::min(rows, (group + 1) * kRowGroup);
      alignas(kLine) int32_t sums[kAmxRows * kUnits];
      for (int64_t row = group * kRowGroup; row < end;) {
        const uint8_t* left = q + row * q_width;
        const int64_t left_over = end - row;
        const int height = with_amx ? static_cast<int>(std::min<int64_t>(kAmxRows, left_over))
                           : left_over >= kRows ? kRows : left_over >= 2 ? 2 : 1;
        if (with_amx) {
          multiply_with_amx(left, q_width, weight, quads, sums);
        } else if (height == kRows) {
          multiply<kRows>(left, weight, quads, sums);
        } else if (height == 2) {
          multiply<2>(left, weight, quads, sums);
        } else {
          multiply<1>(left, weight, quads, sums);
        }
        for (int i = 0; i < height; ++i, ++row) {
          finish_row(layer, blocks * kUnits, sums + i * kUnits, lowest[row], step[row], unit, count,
                     out + row * layer.units + unit);
        }
      }
    }
  }
}

}  // namespace snli

#else

namespace snli {

void QuantizedRows::make_room(int64_t, int64_t) {}
void apply_int8(const DenseLayer&, int64_t, const float*, float*, QuantizedRows&) {}

}  // namespace snli

#endif

// Whether these layers are there.
extern "C" int snli_has_int8() {
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
  return 1;
#else
  return 0;
#endif
}
