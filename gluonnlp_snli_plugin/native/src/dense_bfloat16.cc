// _snli_dense_bfloat16: a dense layer over the last axis whose matrix products are of bfloat16, added up in float32.
//
// Inputs: data (..., C), weight (units, C), and with use_bias=1 bias (units,). Output: (..., units). All are float32:
// both factors of a product are rounded on their way into tiles, forward and backward, and nothing else is.
//
// A tile holds 16 rows of 32 numbers, as 16 x 16 pairs of neighbours. Of a left factor the pairs of a row lie side by
// side; of a right one those of a column do, as AMX and AVX-512 want it.

#include <algorithm>

#if defined(__AVX512F__) || defined(__AMX_BF16__)
#include <immintrin.h>
#endif
#include <unistd.h>

#include "operator.h"
#include "simd.h"

namespace snli {
namespace {

constexpr int kRows = 16, kPairs = 16, kDepth = 2 * kPairs;
constexpr int kTile = kRows * kPairs;  // pairs
constexpr int kBlock = 2 * kRows;      // rows and columns that are computed at a time
constexpr int kGroup = 4;              // blocks of rows that meet a block of columns in turn, while it is in the cache

using Pair = uint32_t;  // two numbers of bfloat16, the first in the low half
using Tiles = std::vector<Pair>;

// A matrix (rows, depth) of float32, one of whose steps is 1.
struct Matrix {
  const float* data;
  int64_t rows, depth, row_step, depth_step;

  int64_t row_blocks() const { return (rows + kBlock - 1) / kBlock; }
  int64_t depth_tiles() const { return (depth + kDepth - 1) / kDepth; }
  int64_t pairs_of_block() const { return 2 * depth_tiles() * kTile; }
};

inline uint32_t rounded(float number) {
  uint32_t bits;
  std::memcpy(&bits, &number, sizeof(bits));
  const uint32_t nearest = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
  return (bits & 0x7fffffffu) > 0x7f800000u ? 0x7fc0u : nearest;  // NaN must not become something else
}

inline Pair pair(float first, float second) { return rounded(first) | rounded(second) << 16; }

// One tile, zeros where the matrix has ended. In a left one pair (row, k) is number row * kPairs + k, in a right one
// number k * kRows + row.
template <bool is_left>
void fill_tile(const Matrix& matrix, int64_t first_row, int64_t first_depth, Pair* tile) {
  constexpr int row_step = is_left ? kPairs : 1, pair_step = is_left ? 1 : kRows;
  const int rows = static_cast<int>(std::min<int64_t>(kRows, matrix.rows - first_row));
  const int depth = static_cast<int>(std::min<int64_t>(kDepth, matrix.depth - first_depth));
  if (rows < kRows || depth < kDepth) std::memset(tile, 0, kTile * sizeof(Pair));
  if (rows <= 0) return;
  const float* from = matrix.data + first_row * matrix.row_step + first_depth * matrix.depth_step;
  if (matrix.depth_step == 1) {
    for (int row = 0; row < rows; ++row, from += matrix.row_step) {
      Pair* to = tile + row * row_step;
      if (depth == kDepth) {
        Pair pairs[kPairs];
#pragma omp simd
        for (int k = 0; k < kPairs; ++k) pairs[k] = pair(from[2 * k], from[2 * k + 1]);
        for (int k = 0; k < kPairs; ++k) to[k * pair_step] = pairs[k];
      } else {
        for (int k = 0; k < depth; k += 2) {
          to[k / 2 * pair_step] = pair(from[k], k + 1 < depth ? from[k + 1] : 0.0f);
        }
      }
    }
  } else {
    for (int k = 0; k < depth; k += 2, from += 2 * matrix.depth_step) {
      Pair* to = tile + k / 2 * pair_step;
      const float* next = from + matrix.depth_step;
      if (rows == kRows && k + 1 < depth) {
        Pair pairs[kRows];
#pragma omp simd
        for (int row = 0; row < kRows; ++row) pairs[row] = pair(from[row], next[row]);
        for (int row = 0; row < kRows; ++row) to[row * row_step] = pairs[row];
      } else {
        for (int row = 0; row < rows; ++row) to[row * row_step] = pair(from[row], k + 1 < depth ? next[row] : 0.0f);
      }
    }
  }
}

// All tiles of a matrix: block by block, of each its upper half along the depth, then its lower half. In a parallel
// region; no barrier at the end.
template <bool is_left>
void fill(const Matrix& matrix, Pair* tiles) {
  const int64_t halves = 2 * matrix.row_blocks(), depth_tiles = matrix.depth_tiles();
  const bool is_by_row = matrix.depth_step == 1;  // numbers are read in the order in which they lie
  const int64_t outer = is_by_row ? halves : depth_tiles, inner = is_by_row ? depth_tiles : halves;
#pragma omp for schedule(static) nowait
  for (int64_t i = 0; i < outer; ++i) {
    for (int64_t j = 0; j < inner; ++j) {
      const int64_t half = is_by_row ? i : j, k = is_by_row ? j : i;
      fill_tile<is_left>(matrix, half * kRows, k * kDepth, tiles + (half * depth_tiles + k) * kTile);
    }
  }
}

// Linux lets a process use AMX once it has asked.
bool may_use_amx() {
#ifdef __AMX_BF16__
  constexpr int kArchPrctl = 158, kRequestPermission = 0x1023, kTileData = 18;
  static const bool is_permitted = syscall(kArchPrctl, kRequestPermission, kTileData) == 0;
  return is_permitted;
#else
  return false;
#endif
}

#ifdef __AMX_BF16__

struct alignas(64) AmxShapes {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t bytes[16] = {};
  uint8_t rows[16] = {};

  AmxShapes() {
    std::fill(bytes, bytes + 8, kPairs * sizeof(Pair));
    std::fill(rows, rows + 8, kRows);
  }
};

void multiply_with_amx(const Pair* left, const Pair* right, int64_t depth_tiles, float* result) {
  const Pair *left_below = left + depth_tiles * kTile, *right_beside = right + depth_tiles * kTile;
  constexpr int kBytes = kPairs * sizeof(Pair), kResultBytes = kBlock * sizeof(float);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t k = 0; k < depth_tiles * kTile; k += kTile) {
    _tile_loadd(4, left + k, kBytes);
    _tile_loadd(6, right + k, kBytes);
    _tile_loadd(7, right_beside + k, kBytes);
    _tile_loadd(5, left_below + k, kBytes);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, result, kResultBytes);
  _tile_stored(1, result + kRows, kResultBytes);
  _tile_stored(2, result + kRows * kBlock, kResultBytes);
  _tile_stored(3, result + kRows * kBlock + kRows, kResultBytes);
}

#endif

#ifdef __AVX512BF16__

void multiply(const Pair* left, const Pair* right, int64_t depth_tiles, float* result) {
  const Pair* right_beside = right + depth_tiles * kTile;
  constexpr int kHeight = 8;  // rows whose sums are in registers together
  for (int row = 0; row < kBlock; row += kHeight, result += kHeight * kBlock) {
    const Pair* rows = left + row / kRows * depth_tiles * kTile + row % kRows * kPairs;
    __m512 sum[kHeight][2];
    for (auto& of_row : sum) of_row[0] = of_row[1] = _mm512_setzero_ps();
    for (int64_t k = 0; k < depth_tiles; ++k) {
      for (int j = 0; j < kPairs; ++j) {
        const int64_t at = k * kTile + j * kRows;
        const auto first = (__m512bh)_mm512_loadu_si512(right + at);
        const auto second = (__m512bh)_mm512_loadu_si512(right_beside + at);
#pragma GCC unroll 8
        for (int i = 0; i < kHeight; ++i) {
          const auto both = (__m512bh)_mm512_set1_epi32(rows[k * kTile + i * kPairs + j]);
          sum[i][0] = _mm512_dpbf16_ps(sum[i][0], both, first);
          sum[i][1] = _mm512_dpbf16_ps(sum[i][1], both, second);
        }
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < kHeight; ++i) {
      _mm512_storeu_ps(result + i * kBlock, sum[i][0]);
      _mm512_storeu_ps(result + i * kBlock + kRows, sum[i][1]);
    }
  }
}

#else

inline float number_of(uint32_t bits) {
  float number;
  std::memcpy(&number, &bits, sizeof(number));
  return number;
}

// A number of bfloat16 is the upper half of one of float32.
void multiply(const Pair* left, const Pair* right, int64_t depth_tiles, float* result) {
  constexpr int kHeight = 4, kVectors = kRows / kLanes;
  for (int half = 0; half < kBlock; half += kRows, right += depth_tiles * kTile) {
    for (int row = 0; row < kBlock; row += kHeight) {
      const Pair* rows = left + row / kRows * depth_tiles * kTile + row % kRows * kPairs;
      Vector sum[kHeight][kVectors] = {};
      for (int64_t k = 0; k < depth_tiles * kPairs; ++k) {
        for (int v = 0; v < kVectors; ++v) {
          const Integers pairs = *reinterpret_cast<const Integers*>(right + k * kRows + v * kLanes);
          const auto first = reinterpret_cast<Vector>(pairs << 16), second = reinterpret_cast<Vector>(pairs & ~0xffff);
          for (int i = 0; i < kHeight; ++i) {
            const Pair both = rows[k / kPairs * kTile + k % kPairs + i * kPairs];
            sum[i][v] += number_of(both << 16) * first + number_of(both & ~0xffffu) * second;
          }
        }
      }
      for (int i = 0; i < kHeight; ++i) {
        for (int v = 0; v < kVectors; ++v) store(result + (row + i) * kBlock + half + v * kLanes, sum[i][v]);
      }
    }
  }
}

#endif

// A row of a block goes past the cache where it can: nobody reads it before many others have been written.
void write_row(const float* from, const float* bias, int width, float* to) {
#ifdef __AVX512F__
  if (width == kBlock && reinterpret_cast<uintptr_t>(to) % sizeof(__m512) == 0) {
    for (int j = 0; j < kBlock; j += kRows) {
      const __m512 sums = _mm512_load_ps(from + j);
      _mm512_stream_ps(to + j, bias ? _mm512_add_ps(sums, _mm512_loadu_ps(bias + j)) : sums);
    }
    return;
  }
#endif
  for (int j = 0; j < width; ++j) to[j] = bias ? from[j] + bias[j] : from[j];
}

void finish_writing() {
#ifdef __AVX512F__
  _mm_sfence();  // other threads see what went past the cache
#endif
}

// result (left.rows, right.rows) = left rightᵀ + bias, row by row; `bias` may be null.
void product(const Matrix& left, const Matrix& right, const float* bias, float* result) {
  static thread_local Tiles left_tiles, right_tiles;  // kept: their pages need not be mapped anew for every layer
  left_tiles.resize(left.row_blocks() * left.pairs_of_block());
  right_tiles.resize(right.row_blocks() * right.pairs_of_block());
  Pair *lefts = left_tiles.data(), *rights = right_tiles.data();
  const int64_t groups = (left.row_blocks() + kGroup - 1) / kGroup;
  const bool with_amx = may_use_amx();
#pragma omp parallel
  {
    fill<true>(left, lefts);
    fill<false>(right, rights);
#ifdef __AMX_BF16__
    const AmxShapes shapes;
    if (with_amx) _tile_loadconfig(&shapes);
#endif
#pragma omp barrier
#pragma omp for collapse(2) schedule(static)
    for (int64_t group = 0; group < groups; ++group) {
      for (int64_t j = 0; j < right.row_blocks(); ++j) {
        const Pair* columns = rights + j * right.pairs_of_block();
        const int64_t end = std::min(left.row_blocks(), (group + 1) * kGroup);
        for (int64_t i = group * kGroup; i < end; ++i) {
          alignas(64) float block[kBlock * kBlock];
          const Pair* rows = lefts + i * left.pairs_of_block();
#ifdef __AMX_BF16__
          if (with_amx) {
            multiply_with_amx(rows, columns, left.depth_tiles(), block);
          } else {
            multiply(rows, columns, left.depth_tiles(), block);
          }
#else
          multiply(rows, columns, left.depth_tiles(), block);
#endif
          const int64_t first = i * kBlock, height = std::min<int64_t>(kBlock, left.rows - first);
          const int64_t unit = j * kBlock, width = std::min<int64_t>(kBlock, right.rows - unit);
          for (int64_t row = 0; row < height; ++row) {
            write_row(block + row * kBlock, bias ? bias + unit : nullptr, static_cast<int>(width),
                      result + (first + row) * right.rows + unit);
          }
        }
      }
    }
    finish_writing();
#ifdef __AMX_BF16__
    if (with_amx) _tile_release();
#endif
  }
}

// A matrix that lies row by row, as it is and with rows and columns exchanged.
Matrix by_row(const float* data, int64_t rows, int64_t columns) { return {data, rows, columns, columns, 1}; }
Matrix by_column(const float* data, int64_t rows, int64_t columns) { return {data, columns, rows, 1, columns}; }

void add_up_rows(const float* data, int64_t rows, int64_t columns, float* sums) {
  constexpr int64_t kColumns = 64;
#pragma omp parallel for schedule(static)
  for (int64_t first = 0; first < columns; first += kColumns) {
    const int64_t end = std::min(columns, first + kColumns);
    std::fill(sums + first, sums + end, 0.0f);
    for (int64_t row = 0; row < rows; ++row) {
#pragma omp simd
      for (int64_t k = first; k < end; ++k) sums[k] += data[row * columns + k];
    }
  }
}

struct Layer {
  int64_t rows, width, units;
  const float *data, *weight, *bias;

  Layer(const Attributes& attributes, Tensors& inputs, size_t first) {
    const auto& shape = inputs[first].shape;
    rows = snli::product(shape, 0, shape.size() - 1);
    width = shape.back();
    units = inputs[first + 1].shape[0];
    data = inputs[first].data<float>();
    weight = inputs[first + 1].data<float>();
    bias = integer(attributes, "use_bias", 1) ? inputs[first + 2].data<float>() : nullptr;
  }
};

MXReturnValue forward(const Attributes& attributes, Tensors* inputs, Tensors* outputs, const OpResource&) {
  const Layer layer(attributes, *inputs, 0);
  product(by_row(layer.data, layer.rows, layer.width), by_row(layer.weight, layer.units, layer.width), layer.bias,
          (*outputs)[0].data<float>());
  return MX_SUCCESS;
}

MXReturnValue backward(const Attributes& attributes, Tensors* inputs, Tensors* outputs, const OpResource&) {
  const Layer layer(attributes, *inputs, 1);
  const float* gradient = (*inputs)[0].data<float>();
  auto& out = *outputs;
  product(by_row(gradient, layer.rows, layer.units), by_column(layer.weight, layer.units, layer.width), nullptr,
          out[0].data<float>());
  product(by_column(gradient, layer.rows, layer.units), by_column(layer.data, layer.rows, layer.width), nullptr,
          out[1].data<float>());
  if (layer.bias) add_up_rows(gradient, layer.rows, layer.units, out[2].data<float>());
  return MX_SUCCESS;
}

MXReturnValue parse(const Attributes& attributes, int* num_in, int* num_out) {
  *num_in = 2 + integer(attributes, "use_bias", 1);
  *num_out = 1;
  return MX_SUCCESS;
}

MXReturnValue types(const Attributes&, std::vector<int>* in, std::vector<int>* out) { return float_types({}, in, out); }

MXReturnValue shapes(const Attributes& attributes, Shapes* in, Shapes* out) {
  const Shape data = (*in)[0];
  const unsigned units = integer(attributes, "units", 0);
  if (data.empty() || !units) {
    MX_ERROR_MSG << "the shape of the data, or attribute units, is missing";
    return MX_FAIL;
  }
  (*in)[1] = {units, data.back()};  // MXNet compares it with what is known
  if (in->size() > 2) (*in)[2] = {units};
  Shape result = data;
  result.back() = units;
  (*out)[0] = result;
  return MX_SUCCESS;
}

}  // namespace

REGISTER_OP(_snli_dense_bfloat16)
    .setForward(forward, "cpu")
    .setBackward(backward, "cpu")
    .setParseAttrs(parse)
    .setInferType(types)
    .setInferShape(shapes);

}  // namespace snli
