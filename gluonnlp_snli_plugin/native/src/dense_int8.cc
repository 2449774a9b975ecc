// _snli_dense_int8: a dense layer whose weights have 8 bits, and whose inputs get 8 bits as they come, row by row.
//
// Inputs: data (..., C) float32; weight (blocks, ceil(C / 4), 64, 4) int8, the units in blocks of 64, filled up with
// zeros; columns (3, 64 * blocks) float32: of each unit its scale, its scale times the sum of its weights, its bias.
// Attributes: units; activation: '', 'gelu' or 'relu'. Output: (..., units) float32.
//
// A row x is stored as q = round((x - lowest) / step), 0 to 255, so that
//   sum_c x[c] w[c] = step * sum_c q[c] w[c] + lowest * sum_c w[c].
// The sums of products are integers, hence the same on every processor and for any number of threads.
//
// The operator is there only for processors with instructions that multiply integers of 8 bits and add up four products
// (VNNI). Without them, products of 16 bits would have to be made, which are no faster than those of float32.

#include "operator.h"

#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)

#include <immintrin.h>

#include <algorithm>

#include "activation.h"
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

struct Layer {
  int64_t rows;
  int width, quads, units, blocks;  // quads: groups of four inputs
  const int8_t* weight;
  const float *scale, *sum, *bias;
  Activation activation;
};

// Rows of inputs with 8 bits, and room for as many as AMX takes.
struct Rows {
  struct alignas(kLine) Line {
    uint8_t bytes[kLine];
  };
  std::vector<Line> values;
  std::vector<float> lowest, step;

  void make_room(int64_t rows, int width) {
    const size_t lines = ((rows + kAmxRows - 1) * width + kLine - 1) / kLine;
    values.resize(std::max(values.size(), lines));
    lowest.resize(std::max<size_t>(lowest.size(), rows));
    step.resize(lowest.size());
  }
};

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

void finish_row(const Layer& layer, const int32_t* sums, float lowest, float step, int unit, int count, float* y) {
  const float *scale = layer.scale + unit, *sum = layer.sum + unit, *bias = layer.bias + unit;
#pragma omp simd
  for (int j = 0; j < count; ++j) y[j] = sums[j] * step * scale[j] + (lowest * sum[j] + bias[j]);
  activate(layer.activation, y, count);
}

MXReturnValue forward(const Attributes& attributes, Tensors* inputs, Tensors* outputs, const OpResource&) {
  auto& in = *inputs;
  const auto& shape = in[0].shape;
  Layer layer;
  layer.rows = product(shape, 0, shape.size() - 1);
  layer.width = static_cast<int>(shape.back());
  layer.blocks = static_cast<int>(in[1].shape[0]);
  layer.quads = static_cast<int>(in[1].shape[1]);
  layer.units = integer(attributes, "units", 0);
  layer.weight = in[1].data<int8_t>();
  layer.scale = in[2].data<float>();
  layer.sum = layer.scale + layer.blocks * kUnits;
  layer.bias = layer.sum + layer.blocks * kUnits;
  layer.activation = activation_of(attributes);
  const float* data = in[0].data<float>();
  float* out = (*outputs)[0].data<float>();
  const int q_width = layer.quads * 4;

  static thread_local Rows rows;  // kept: its pages need not be mapped again for every layer
  rows.make_room(layer.rows, q_width);
  uint8_t* q = rows.values.data()->bytes;
  float *lowest = rows.lowest.data(), *step = rows.step.data();
  const int64_t groups = (layer.rows + kRowGroup - 1) / kRowGroup;
  const bool with_amx = Amx::is_permitted() && layer.quads % 16 == 0;
#pragma omp parallel
  {
    const Amx amx;
#pragma omp for schedule(static)
    for (int64_t row = 0; row < layer.rows; ++row) {
      quantize_row(data + row * layer.width, layer.width, q + row * q_width, lowest + row, step + row);
    }
#pragma omp for collapse(2) schedule(static)
    for (int64_t group = 0; group < groups; ++group) {
      for (int block = 0; block < layer.blocks; ++block) {
        const int unit = block * kUnits, count = std::min(kUnits, layer.units - unit);
        const int8_t* weight = layer.weight + int64_t{unit} * q_width;
        const int64_t end = std::min(layer.rows, (group + 1) * kRowGroup);
        alignas(kLine) int32_t sums[kAmxRows * kUnits];
        for (int64_t row = group * kRowGroup; row < end;) {
          const uint8_t* left = q + row * q_width;
          const int64_t left_over = end - row;
          const int height = with_amx ? static_cast<int>(std::min<int64_t>(kAmxRows, left_over))
                             : left_over >= kRows ? kRows : left_over >= 2 ? 2 : 1;
          if (with_amx) {
            multiply_with_amx(left, q_width, weight, layer.quads, sums);
          } else if (height == kRows) {
            multiply<kRows>(left, weight, layer.quads, sums);
          } else if (height == 2) {
            multiply<2>(left, weight, layer.quads, sums);
          } else {
            multiply<1>(left, weight, layer.quads, sums);
          }
          for (int i = 0; i < height; ++i, ++row) {
            finish_row(layer, sums + i * kUnits, lowest[row], step[row], unit, count, out + row * layer.units + unit);
          }
        }
      }
    }
  }
  return MX_SUCCESS;
}

// A graph is made together with that of its gradients, so this must be there.
MXReturnValue backward(const Attributes&, Tensors*, Tensors*, const OpResource&) {
  MX_ERROR_MSG << "a net with weights of 8 bits cannot be trained";
  return MX_FAIL;
}

MXReturnValue parse(const Attributes& attributes, int* num_in, int* num_out) {
  *num_in = 3;
  *num_out = 1;
  if (integer(attributes, "units", 0) > 0) return MX_SUCCESS;
  MX_ERROR_MSG << "attribute units is missing";
  return MX_FAIL;
}

MXReturnValue types(const Attributes&, std::vector<int>* in, std::vector<int>* out) {
  const int expected[] = {mxnet::ext::kFloat32, mxnet::ext::kInt8, mxnet::ext::kFloat32};
  for (int i = 0; i < 3; ++i) {
    if ((*in)[i] == -1) (*in)[i] = expected[i];
    if ((*in)[i] != expected[i]) {
      MX_ERROR_MSG << "input " << i << " must be " << (i == 1 ? "int8" : "float32");
      return MX_FAIL;
    }
  }
  (*out)[0] = mxnet::ext::kFloat32;
  return MX_SUCCESS;
}

MXReturnValue shapes(const Attributes& attributes, Shapes* in, Shapes* out) {
  const Shape data = (*in)[0];
  if (data.empty()) {
    MX_ERROR_MSG << "the shape of the data is not known";
    return MX_FAIL;
  }
  const unsigned units = integer(attributes, "units", 0), blocks = (units + kUnits - 1) / kUnits;
  const Shape weight = {blocks, (data.back() + 3) / 4, kUnits, 4}, columns = {3, blocks * kUnits};
  for (size_t i = 1; i < 3; ++i) {
    const Shape& expected = i == 1 ? weight : columns;
    if ((*in)[i].empty()) (*in)[i] = expected;
    if ((*in)[i] != expected) {
      MX_ERROR_MSG << "input " << i << " does not fit the data and the number of units";
      return MX_FAIL;
    }
  }
  (*out)[0] = with_last_axis(data, units);
  return MX_SUCCESS;
}

}  // namespace

SNLI_OPERATOR(_snli_dense_int8, types);

}  // namespace snli

#endif

// Whether the operator is there.
extern "C" int snli_has_int8() {
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
  return 1;
#else
  return 0;
#endif
}
