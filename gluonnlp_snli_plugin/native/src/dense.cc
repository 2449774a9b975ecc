// _snli_dense: a dense layer over the last axis whose matrix products, forward and backward, are put together from
// products of bfloat16, which processors of today make many times as fast as those of float32.
//
// Inputs: data (..., C), weight (units, C), and with use_bias=1 bias (units,). Output: (..., units). All are float32.
// Attribute gelu=1: the layer is one of GELU(data). Attribute pieces: how many numbers of bfloat16 make one of
// float32. 1 rounds the factors of a product; 3 keep all 24 bits, and what is left out of a product is below 2^-24 of it
// (Henry, Tang and Heinecke, "Leveraging the bfloat16 Artificial Intelligence Datatype For Higher-Precision
// Computations", 2019). All is added up in float32.
//
// A tile holds 16 rows of 32 numbers, as 16 x 16 pairs of neighbours. Of a left factor the pairs of a row lie side by
// side; of a right one those of a column do, as AMX and AVX-512 want it.

#include <algorithm>

#include "amx.h"
#include "operator.h"
#include "simd.h"

namespace snli {
namespace {

constexpr int kRows = 16, kPairs = 16, kDepth = 2 * kPairs;
constexpr int kBlock = 2 * kRows;             // rows and columns that are computed at a time
constexpr int64_t kGroupBytes = 1024 * 1024;  // of tiles that a thread keeps in its cache

using Pair = uint32_t;  // two numbers of bfloat16, the first in the low half

struct alignas(64) Tile {
  Pair pairs[kRows * kPairs];
};

// Which pieces of the left factor meet which of the right one. Neighbours have one in common, which stays loaded.
constexpr struct {
  int left, right;
} kProducts[] = {{2, 0}, {1, 0}, {1, 1}, {0, 1}, {0, 2}, {0, 0}};
constexpr int kEnd = sizeof(kProducts) / sizeof(kProducts[0]);
template <int pieces>
constexpr int kBegin = pieces == 1 ? kEnd - 1 : 0;

// A matrix (rows, depth) of float32, one of whose steps is 1.
struct Matrix {
  const float* data;
  int64_t rows, depth, row_step, depth_step;
  bool is_before_gelu = false;  // the matrix is what GELU makes of the numbers

  bool is_by_row() const { return depth_step == 1; }

  int64_t blocks() const { return (rows + kBlock - 1) / kBlock; }
  int64_t depth_tiles() const { return (depth + kDepth - 1) / kDepth; }

  // The parts in which numbers are read in the order in which they lie: a block of rows, or the same depth of all rows.
  int64_t stripes() const { return is_by_row() ? blocks() : depth_tiles(); }

  Matrix part(int64_t first_block, int64_t end_block) const {
    const int64_t first = first_block * kBlock, end = std::min(rows, end_block * kBlock);
    return {data + first * row_step, end - first, depth, row_step, depth_step, is_before_gelu};
  }
};

// A block of rows has its tiles in the order of depth, piece and half: 16 rows above, 16 below.
template <int pieces>
constexpr int tile_at(int64_t k, int piece, int half) {
  return (k * pieces + piece) * 2 + half;
}

inline float number_of(uint32_t bits) {
  float number;
  std::memcpy(&number, &bits, sizeof(number));
  return number;
}

typedef uint32_t Bits __attribute__((vector_size(kLanes * sizeof(uint32_t))));
typedef uint16_t Halves __attribute__((vector_size(kLanes * sizeof(uint16_t))));

// Takes the nearest numbers of bfloat16 from numbers and leaves the rest. One of bfloat16 is the upper half of a float.
inline Bits take_pieces(Vector* numbers) {
#ifdef __AVX512BF16__
  const auto halves = (__m256i)_mm512_cvtneps_pbh((__m512)*numbers);
  const auto nearest = (Bits)_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16);
#else
  const auto bits = reinterpret_cast<Bits>(*numbers);
  const Bits nan = Bits{} + 0x7fc00000u, is_nan = reinterpret_cast<Bits>((bits & 0x7fffffffu) > 0x7f800000u);
  const Bits nearest = (is_nan & nan) | (~is_nan & (bits + 0x7fffu + (bits >> 16 & 1u)) & 0xffff0000u);
#endif
  *numbers -= reinterpret_cast<Vector>(nearest);
  return nearest;
}

// Numbers that are wanted soon: those of the next stripe, while this one is filled.
inline void fetch(const float* from, int count) {
  constexpr int kLine = 16;
  for (int i = 0; i < count; i += kLine) __builtin_prefetch(from + i, 0, 2);
}

// The `size` numbers from `from` on; zeros for those from `count` on, which the matrix does not have.
template <int size>
inline const float* filled_up(const float* from, int64_t count, float (&copy)[size]) {
  if (count >= size) return from;
  std::fill(copy, copy + size, 0.0f);
  if (count > 0) std::copy(from, from + count, copy);
  return copy;
}

// The tiles of 16 rows and 32 numbers of depth, one for each piece, two apart: pair k of a row is pair
// row * kPairs + k of a tile of a left factor, and k * kRows + row of a right one.
template <int pieces, bool is_left>
void fill_half(const Matrix& matrix, int64_t first_row, int64_t first_depth, Tile* tiles) {
  const int64_t rows = matrix.rows - first_row, depth = matrix.depth - first_depth;
  const float* from = matrix.data + first_row * matrix.row_step + first_depth * matrix.depth_step;
  const bool is_by_row = matrix.is_by_row(), is_turned = is_by_row != is_left;
  Tile turned[pieces];
  Tile* const to = is_turned ? turned : tiles;
  const int step = is_turned ? 1 : 2;
  if (is_by_row) {
    for (int row = 0; row < kRows; ++row, from += matrix.row_step) {
      float copy[kDepth];
      const float* numbers = filled_up(from, row < rows ? depth : 0, copy);
      fetch(from + kBlock * matrix.row_step, kDepth);
      for (int k = 0; k < kDepth; k += kLanes) {
        Vector rest = matrix.is_before_gelu ? gelu(load(numbers + k)) : load(numbers + k);
        for (int p = 0; p < pieces; ++p) {
          const Halves taken = __builtin_convertvector(take_pieces(&rest) >> 16, Halves);
          std::memcpy(to[p * step].pairs + row * kPairs + k / 2, &taken, sizeof(taken));
        }
      }
    }
  } else {
    for (int k = 0; k < kPairs; ++k, from += 2 * matrix.depth_step) {
      float copies[2][kRows];
      const float* first = filled_up(from, 2 * k < depth ? rows : 0, copies[0]);
      const float* second = filled_up(from + matrix.depth_step, 2 * k + 1 < depth ? rows : 0, copies[1]);
      fetch(from + kDepth * matrix.depth_step, kRows);
      fetch(from + (kDepth + 1) * matrix.depth_step, kRows);
      for (int row = 0; row < kRows; row += kLanes) {
        Vector low = load(first + row), high = load(second + row);
        if (matrix.is_before_gelu) {
          low = gelu(low);
          high = gelu(high);
        }
        for (int p = 0; p < pieces; ++p) {
          const Bits taken = take_pieces(&low) >> 16 | take_pieces(&high);
          std::memcpy(to[p * step].pairs + k * kRows + row, &taken, sizeof(taken));
        }
      }
    }
  }
  if (!is_turned) return;
  for (int p = 0; p < pieces; ++p) {
    transpose(turned[p].pairs, kPairs, kRows, kPairs, tiles[2 * p].pairs, kRows);
  }
}

template <int pieces, bool is_left>
void fill_stripe(const Matrix& matrix, int64_t stripe, Tile* tiles) {
  const int64_t depth_tiles = matrix.depth_tiles();
  const bool is_block = matrix.is_by_row();
  const int64_t block_end = is_block ? stripe + 1 : matrix.blocks(), k_end = is_block ? depth_tiles : stripe + 1;
  for (int64_t block = is_block ? stripe : 0; block < block_end; ++block) {
    for (int64_t k = is_block ? 0 : stripe; k < k_end; ++k) {
      for (int half = 0; half < 2; ++half) {
        fill_half<pieces, is_left>(matrix, block * kBlock + half * kRows, k * kDepth,
                                   tiles + tile_at<pieces>(block * depth_tiles + k, 0, half));
      }
    }
  }
}

// Where the sums of a product go, row by row.
struct Result {
  float* data;
  const float* bias = nullptr;    // added to each row
  const float* inputs = nullptr;  // of a GELU: the sums are gradients of its outputs, the result is those of its inputs
};

// Sums on their way to a block of the result. They are written while the next ones are computed: memory is slow.
struct Block {
  alignas(64) float sums[kBlock * kBlock];
  Result to;
  int64_t step;
  int width, height = 0, row = 0;

  void now_for(const Result& result, int64_t rows, int64_t columns, int64_t first_row, int64_t column) {
    const int64_t first = first_row * columns + column;
    to = {result.data + first, result.bias ? result.bias + column : nullptr,
          result.inputs ? result.inputs + first : nullptr};
    step = columns;
    width = static_cast<int>(std::min<int64_t>(kBlock, columns - column));
    height = static_cast<int>(std::min<int64_t>(kBlock, rows - first_row));
    row = 0;
    if (to.inputs) {
      for (int i = 0; i < height; ++i) fetch(to.inputs + i * step, width);
    }
  }

  void write(int count) {
    for (const int end = std::min(height, row + count); row < end; ++row) write_row();
  }

  // A row goes past the cache where it can: it is not read before many others have been written.
  void write_row() const {
    const float *from = sums + row * kBlock, *inputs = to.inputs ? to.inputs + row * step : nullptr;
    float* data = to.data + row * step;
#ifdef __AVX512F__
    if (width == kBlock && reinterpret_cast<uintptr_t>(data) % sizeof(Vector) == 0) {
      for (int j = 0; j < kBlock; j += kLanes) {
        Vector numbers = load(from + j);
        if (to.bias) numbers += load(to.bias + j);
        if (inputs) numbers *= gelu_slope(load(inputs + j));
        _mm512_stream_ps(data + j, (__m512)numbers);
      }
      return;
    }
#endif
    for (int j = 0; j < width; ++j) {
      data[j] = (to.bias ? from[j] + to.bias[j] : from[j]) * (inputs ? gelu_slope(inputs[j]) : 1.0f);
    }
  }
};

void finish_writing() {
#ifdef __AVX512F__
  _mm_sfence();  // other threads see what went past the cache
#endif
}

#ifdef SNLI_AMX

template <int pieces>
void multiply_with_amx(const Tile* left, const Tile* right, int64_t depth_tiles, Block* block) {
  constexpr int kBytes = kPairs * sizeof(Pair), kSumBytes = kBlock * sizeof(float);
  const int rows = static_cast<int>((kBlock + depth_tiles - 1) / depth_tiles);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t k = 0; k < depth_tiles; ++k, left += 2 * pieces, right += 2 * pieces) {
#pragma GCC unroll 6
    for (int i = kBegin<pieces>; i < kEnd; ++i) {
      if (i == kBegin<pieces> || kProducts[i].left != kProducts[i - 1].left) {
        _tile_loadd(4, left + 2 * kProducts[i].left, kBytes);
        _tile_loadd(5, left + 2 * kProducts[i].left + 1, kBytes);
      }
      if (i == kBegin<pieces> || kProducts[i].right != kProducts[i - 1].right) {
        _tile_loadd(6, right + 2 * kProducts[i].right, kBytes);
        _tile_loadd(7, right + 2 * kProducts[i].right + 1, kBytes);
      }
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
    block->write(rows);
  }
  _tile_stored(0, block->sums, kSumBytes);
  _tile_stored(1, block->sums + kRows, kSumBytes);
  _tile_stored(2, block->sums + kRows * kBlock, kSumBytes);
  _tile_stored(3, block->sums + kRows * kBlock + kRows, kSumBytes);
}

#else

template <int pieces>
void multiply_with_amx(const Tile*, const Tile*, int64_t, Block*) {}

#endif

// The same in float32, which any processor can do. It is slower than MXNet's own products, and so is AVX-512's
// vdpbf16ps without AMX (on Sapphire Rapids); nets use this layer where there is AMX. kHeight rows of the left factor
// are taken at a time, whose sums are in registers together.
template <int pieces>
void multiply(const Tile* left, const Tile* right, int64_t depth_tiles, float* sums) {
  constexpr int kHeight = 4, kVectors = kRows / kLanes;
  for (int half = 0; half < 2; ++half) {
    for (int row = 0; row < kBlock; row += kHeight) {
      Vector sum[kHeight][kVectors] = {};
      for (int64_t k = 0; k < depth_tiles; ++k) {
        for (int i = kBegin<pieces>; i < kEnd; ++i) {
          const Pair* rows = left[tile_at<pieces>(k, kProducts[i].left, row / kRows)].pairs + row % kRows * kPairs;
          const Pair* columns = right[tile_at<pieces>(k, kProducts[i].right, half)].pairs;
          for (int j = 0; j < kPairs; ++j) {
            for (int v = 0; v < kVectors; ++v) {
              const Integers pairs = *reinterpret_cast<const Integers*>(columns + j * kRows + v * kLanes);
              const auto first = reinterpret_cast<Vector>(pairs << 16);
              const auto second = reinterpret_cast<Vector>(pairs & ~0xffff);
              for (int r = 0; r < kHeight; ++r) {
                const Pair both = rows[r * kPairs + j];
                sum[r][v] += number_of(both << 16) * first + number_of(both & ~0xffffu) * second;
              }
            }
          }
        }
      }
      for (int r = 0; r < kHeight; ++r) {
        for (int v = 0; v < kVectors; ++v) store(sums + (row + r) * kBlock + half * kRows + v * kLanes, sum[r][v]);
      }
    }
  }
}

// Room for tiles, which is kept: its pages need not be mapped again for every layer.
Tile* room_for(int64_t count, std::vector<Tile>* tiles) {
  if (count > static_cast<int64_t>(tiles->size())) tiles->resize(count);
  return tiles->data();
}

// result (left.rows, right.rows) = left * transposed right.
//
// Each thread takes groups of rows whose tiles its cache can hold; all columns pass by them. Where rows are few, several
// threads take the same ones, and a share of the columns each.
template <int pieces>
void product(const Matrix& left, const Matrix& right, const Result& result) {
  const int64_t depth_tiles = left.depth_tiles(), tiles_of_block = tile_at<pieces>(depth_tiles, 0, 0);
  const int64_t rows = left.blocks(), columns = right.blocks();
  static thread_local std::vector<Tile> right_room;
  Tile* const rights = room_for(columns * tiles_of_block, &right_room);
  const bool with_amx = Amx::is_permitted();
#pragma omp parallel
  {
#pragma omp for schedule(static)
    for (int64_t stripe = 0; stripe < right.stripes(); ++stripe) fill_stripe<pieces, false>(right, stripe, rights);

    const int64_t threads = omp_get_num_threads();
    const int64_t rounds = 1 + rows * tiles_of_block * static_cast<int64_t>(sizeof(Tile)) / (threads * kGroupBytes);
    const int64_t groups = std::max<int64_t>(1, std::min(rows, rounds * threads));
    const int64_t shares = (threads + groups - 1) / groups;  // of the columns
    static thread_local std::vector<Tile> left_room;
    const Amx amx;
    Block block;
#pragma omp for schedule(static) nowait
    for (int64_t task = 0; task < groups * shares; ++task) {
      const int64_t group = task / shares, first = group * rows / groups, end = (group + 1) * rows / groups;
      const Matrix part = left.part(first, end);
      Tile* const lefts = room_for((end - first) * tiles_of_block, &left_room);
      for (int64_t stripe = 0; stripe < part.stripes(); ++stripe) fill_stripe<pieces, true>(part, stripe, lefts);

      const int64_t share = task % shares;
      for (int64_t j = share * columns / shares; j < (share + 1) * columns / shares; ++j) {
        for (int64_t i = first; i < end; ++i) {
          const Tile *row_tiles = lefts + (i - first) * tiles_of_block, *column_tiles = rights + j * tiles_of_block;
          if (with_amx) {
            multiply_with_amx<pieces>(row_tiles, column_tiles, depth_tiles, &block);
          } else {
            block.write(kBlock);
            multiply<pieces>(row_tiles, column_tiles, depth_tiles, block.sums);
          }
          block.now_for(result, left.rows, right.rows, i * kBlock, j * kBlock);
        }
      }
    }
    block.write(kBlock);
    finish_writing();
  }
}

// A matrix that lies row by row, as it is and with rows and columns exchanged.
Matrix by_row(const float* data, int64_t rows, int64_t columns, bool is_before_gelu = false) {
  return {data, rows, columns, columns, 1, is_before_gelu};
}

Matrix by_column(const float* data, int64_t rows, int64_t columns, bool is_before_gelu = false) {
  return {data, columns, rows, 1, columns, is_before_gelu};
}

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
  bool with_gelu;

  Layer(const Attributes& attributes, Tensors& inputs, size_t first) {
    const auto& shape = inputs[first].shape;
    rows = snli::product(shape, 0, shape.size() - 1);
    width = shape.back();
    units = inputs[first + 1].shape[0];
    data = inputs[first].data<float>();
    weight = inputs[first + 1].data<float>();
    bias = integer(attributes, "use_bias", 1) ? inputs[first + 2].data<float>() : nullptr;
    with_gelu = integer(attributes, "gelu", 0);
  }

  template <int pieces>
  void forward(float* out) const {
    product<pieces>(by_row(data, rows, width, with_gelu), by_row(weight, units, width), {out, bias});
  }

  template <int pieces>
  void backward(const float* gradient, float* of_data, float* of_weight) const {
    const float* inputs = with_gelu ? data : nullptr;
    product<pieces>(by_row(gradient, rows, units), by_column(weight, units, width), {of_data, nullptr, inputs});
    product<pieces>(by_column(gradient, rows, units), by_column(data, rows, width, with_gelu), {of_weight});
  }
};

MXReturnValue forward(const Attributes& attributes, Tensors* inputs, Tensors* outputs, const OpResource&) {
  const Layer layer(attributes, *inputs, 0);
  float* out = (*outputs)[0].data<float>();
  if (integer(attributes, "pieces", 1) == 1) {
    layer.forward<1>(out);
  } else {
    layer.forward<3>(out);
  }
  return MX_SUCCESS;
}

MXReturnValue backward(const Attributes& attributes, Tensors* inputs, Tensors* outputs, const OpResource&) {
  const Layer layer(attributes, *inputs, 1);
  const float* gradient = (*inputs)[0].data<float>();
  auto& out = *outputs;
  float *of_data = out[0].data<float>(), *of_weight = out[1].data<float>();
  if (integer(attributes, "pieces", 1) == 1) {
    layer.backward<1>(gradient, of_data, of_weight);
  } else {
    layer.backward<3>(gradient, of_data, of_weight);
  }
  if (layer.bias) add_up_rows(gradient, layer.rows, layer.units, out[2].data<float>());
  return MX_SUCCESS;
}

MXReturnValue parse(const Attributes& attributes, int* num_in, int* num_out) {
  *num_in = 2 + integer(attributes, "use_bias", 1);
  *num_out = 1;
  const int pieces = integer(attributes, "pieces", 1);
  if (pieces == 1 || pieces == 3) return MX_SUCCESS;
  MX_ERROR_MSG << "attribute pieces must be 1 or 3";
  return MX_FAIL;
}

MXReturnValue shapes(const Attributes& attributes, Shapes* in, Shapes* out) {
  const Shape data = (*in)[0];
  const unsigned units = integer(attributes, "units", 0);
  if (data.empty() || !units) {
    MX_ERROR_MSG << "the shape of the data, or attribute units, is missing";
    return MX_FAIL;
  }
  (*in)[1] = {units, data.back()};  // MXNet compares it with what is known
  if (in->size() > 2) (*in)[2] = {units};
  (*out)[0] = with_last_axis(data, units);
  return MX_SUCCESS;
}

}  // namespace

SNLI_OPERATOR(_snli_dense, all_float);

// Whether products of bfloat16, in three pieces too, are faster than MXNet's own of float32.
extern "C" int snli_has_amx() { return Amx::is_permitted(); }

}  // namespace snli
