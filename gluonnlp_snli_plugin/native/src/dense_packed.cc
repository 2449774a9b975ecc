// _snli_dense_packed: dense layers of the same data in float32, as one product, with weights that were packed once.
//
// Inputs: data (..., C); weight (parts * panels, C, panel), the units of each part in panels, filled up with zeros; bias
// (parts * units,). Attributes: units; parts; activation: '', 'gelu' or 'relu'. Outputs: `parts` arrays (..., units).
// For inference alone.
//
// Few rows are multiplied at the same rate as many: no weights are packed at a call. Sums are accumulated in the order of
// depth, so a row has the same bits in any batch and for any number of threads.

#include <algorithm>
#include <array>
#include <utility>

#include "activation.h"
#include "operator.h"
#include "simd.h"

namespace snli {
namespace {

constexpr int kPanel = 2 * kLanes;
#ifdef __AVX512F__
constexpr int kTall = 14;  // rows of a tile: 28 of 32 registers hold its sums
#else
constexpr int kTall = 6;  // 12 of 16 registers
#endif
constexpr int kGroup = (56 + kTall - 1) / kTall * kTall;  // rows multiplied with a panel, one tile after the other
constexpr int64_t kDepth = 384;                           // multiplied at a time: a panel of it stays in the cache
constexpr int64_t kNear = 8, kFar = 96;  // how far ahead a panel is fetched, into the first and the second-level cache
constexpr int64_t kLine = 64 / sizeof(float);
constexpr int64_t kPage = 4096 / sizeof(float);  // rows so far apart share few places of the cache

// sums = start + left * panel, for one panel's columns of R rows.
template <int R>
void multiply_tile(const float* left, int64_t step, const float* panel, const float* start, int64_t start_step,
                   int64_t depth, float* sums, int64_t sums_step) {
  Vector sum[R][2];
  for (int i = 0; i < R; ++i) {
    sum[i][0] = load(start + i * start_step);
    sum[i][1] = load(start + i * start_step + kLanes);
    __builtin_prefetch(sums + i * sums_step, 1);
    __builtin_prefetch(sums + i * sums_step + kPanel - 1, 1);
  }
#pragma GCC unroll 2
  for (int64_t k = 0; k < depth; ++k) {
    const Vector first = load(panel + k * kPanel), second = load(panel + k * kPanel + kLanes);
    for (int64_t line = 0; line < kPanel; line += kLine) {
      __builtin_prefetch(panel + (k + kNear) * kPanel + line);
      __builtin_prefetch(panel + (k + kFar) * kPanel + line, 0, 2);
    }
    for (int i = 0; i < R; ++i) {
      const float number = left[i * step + k];
      sum[i][0] += number * first;
      sum[i][1] += number * second;
    }
  }
  for (int i = 0; i < R; ++i) {
    store(sums + i * sums_step, sum[i][0]);
    store(sums + i * sums_step + kLanes, sum[i][1]);
  }
}

template <int... heights>
constexpr auto tiles_of(std::integer_sequence<int, heights...>) {
  return std::array<decltype(&multiply_tile<1>), sizeof...(heights)>{multiply_tile<heights + 1>...};
}

struct Layers {
  int64_t rows, depth, units, panels;  // panels: of each part
  int parts;
  const float *data, *weight, *bias;
  std::vector<float*> out;
  Activation activation;

  // The columns of a panel for `count` rows, at most kGroup, from depth `at` on.
  void multiply(const float* left, int64_t step, int64_t row, int64_t count, int64_t at, int64_t panel) const {
    static constexpr auto kTiles = tiles_of(std::make_integer_sequence<int, kTall>());
    const int64_t part = panel / panels, column = panel % panels * kPanel;
    const int64_t width = std::min<int64_t>(kPanel, units - column), depth_now = std::min(kDepth, depth - at);
    const bool is_edge = width < kPanel, is_last = at + depth_now == depth;
    alignas(64) float edge[kTall * kPanel], start[kPanel] = {};
    std::copy(bias + part * units + column, bias + part * units + column + width, start);
    const int64_t tiles = (count + kTall - 1) / kTall, tall = (count + tiles - 1) / tiles;
    for (int64_t i = 0; i < count; i += tall) {
      const int64_t height = std::min(tall, count - i), to_step = is_edge ? kPanel : units;
      float* const result = out[part] + (row + i) * units + column;
      float* const to = is_edge ? edge : result;
      if (is_edge && at) {
        for (int64_t r = 0; r < height; ++r) std::copy(result + r * units, result + r * units + width, edge + r * kPanel);
      }
      kTiles[height - 1](left + i * step, step, weight + (panel * depth + at) * kPanel, at ? to : start,
                         at ? to_step : 0, depth_now, to, to_step);
      for (int64_t r = 0; r < height; ++r) {
        if (is_last) activate(activation, to + r * to_step, width);
        if (is_edge) std::copy(edge + r * kPanel, edge + r * kPanel + width, result + r * units);
      }
    }
  }

  void compute() const {
    const int64_t all = parts * panels;
    const bool is_copied = depth % kPage == 0;
#pragma omp parallel
    {
      const int64_t threads = omp_get_num_threads(), most = (rows + kGroup - 1) / kGroup;
      // Each thread gets as many rows as the others; where these are few, each gets all of them and some panels.
      const bool is_by_rows = rows >= threads * 2 * kTall;
      const int64_t groups = is_by_rows ? (most + threads - 1) / threads * threads : most;
      const int64_t shares = is_by_rows ? 1 : std::min(threads, all);
      constexpr int64_t kStep = kDepth + kLine;
      static thread_local std::vector<float> room;  // kept: its pages need not be mapped again for every layer
      if (is_copied) room.resize(kGroup * kStep);
#pragma omp for schedule(dynamic)
      for (int64_t task = 0; task < groups * shares; ++task) {
        const int64_t group = task / shares, share = task % shares;
        const int64_t row = rows * group / groups, count = rows * (group + 1) / groups - row;
        for (int64_t at = 0; at < depth; at += kDepth) {
          const float* left = data + row * depth + at;
          if (is_copied) {
            const int64_t width = std::min(kDepth, depth - at);
            for (int64_t i = 0; i < count; ++i) {
              std::copy(left + i * depth, left + i * depth + width, room.data() + i * kStep);
            }
            left = room.data();
          }
          for (int64_t panel = all * share / shares; panel < all * (share + 1) / shares; ++panel) {
            multiply(left, is_copied ? kStep : depth, row, count, at, panel);
          }
        }
      }
    }
  }
};

MXReturnValue forward(const Attributes& attributes, Tensors* inputs, Tensors* outputs, const OpResource&) {
  auto& in = *inputs;
  const auto& shape = in[0].shape;
  Layers layers;
  layers.rows = product(shape, 0, shape.size() - 1);
  layers.depth = shape.back();
  layers.units = integer(attributes, "units", 0);
  layers.panels = (layers.units + kPanel - 1) / kPanel;
  layers.parts = integer(attributes, "parts", 1);
  layers.data = in[0].data<float>();
  layers.weight = in[1].data<float>();
  layers.bias = in[2].data<float>();
  for (auto& tensor : *outputs) layers.out.push_back(tensor.data<float>());
  layers.activation = activation_of(attributes);
  layers.compute();
  return MX_SUCCESS;
}

// A graph is made together with that of its gradients, so this must be there.
MXReturnValue backward(const Attributes&, Tensors*, Tensors*, const OpResource&) {
  MX_ERROR_MSG << "a net with packed weights cannot be trained";
  return MX_FAIL;
}

MXReturnValue parse(const Attributes& attributes, int* num_in, int* num_out) {
  *num_in = 3;
  *num_out = integer(attributes, "parts", 1);
  if (*num_out > 0 && integer(attributes, "units", 0) > 0) return MX_SUCCESS;
  MX_ERROR_MSG << "attribute units is missing, or there are no parts";
  return MX_FAIL;
}

MXReturnValue shapes(const Attributes& attributes, Shapes* in, Shapes* out) {
  const Shape data = (*in)[0];
  if (data.empty()) {
    MX_ERROR_MSG << "the shape of the data is not known";
    return MX_FAIL;
  }
  const unsigned units = integer(attributes, "units", 0), parts = integer(attributes, "parts", 1);
  (*in)[1] = {parts * ((units + kPanel - 1) / kPanel), data.back(), kPanel};  // MXNet compares it with what is known
  (*in)[2] = {parts * units};
  for (auto& shape : *out) shape = with_last_axis(data, units);
  return MX_SUCCESS;
}

}  // namespace

SNLI_OPERATOR(_snli_dense_packed, all_float);

// The columns of a panel; 0 where products of the operator are slow: where the processor does not multiply and add at
// once.
extern "C" int snli_panel() {
#ifdef __FMA__
  return kPanel;
#else
  return 0;
#endif
}

}  // namespace snli
