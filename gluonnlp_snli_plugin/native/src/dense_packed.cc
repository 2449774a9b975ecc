// Dense layers in float32, for inference, with weights that were packed once: the units in panels, filled up with zeros.
//
// Few rows are multiplied at the same rate as many: no weights are packed at a call. Sums are accumulated in the order of
// depth, so a row has the same bits in any batch and for any number of threads.

#include <omp.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "inference.h"

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

// The columns of a panel for `count` rows, at most kGroup, from depth `at` on.
void multiply(const DenseLayer& layer, const float* left, int64_t step, int64_t count, int64_t at, int64_t panel,
              float* out) {
  static constexpr auto kTiles = tiles_of(std::make_integer_sequence<int, kTall>());
  const int64_t column = panel * kPanel, units = layer.units;
  const int64_t width = std::min<int64_t>(kPanel, units - column), depth_now = std::min(kDepth, layer.depth - at);
  const bool is_edge = width < kPanel, is_last = at + depth_now == layer.depth;
  const float* weight = static_cast<const float*>(layer.weight) + (panel * layer.depth + at) * kPanel;
  alignas(64) float edge[kTall * kPanel], start[kPanel] = {};
  std::copy(layer.columns + column, layer.columns + column + width, start);
  const int64_t tiles = (count + kTall - 1) / kTall, tall = (count + tiles - 1) / tiles;
  for (int64_t i = 0; i < count; i += tall) {
    const int64_t height = std::min(tall, count - i), to_step = is_edge ? kPanel : units;
    float* const result = out + i * units + column;
    float* const to = is_edge ? edge : result;
    if (is_edge && at) {
      for (int64_t r = 0; r < height; ++r) std::copy(result + r * units, result + r * units + width, edge + r * kPanel);
    }
    kTiles[height - 1](left + i * step, step, weight, at ? to : start, at ? to_step : 0, depth_now, to, to_step);
    for (int64_t r = 0; r < height; ++r) {
      if (is_last) activate(layer.activation, to + r * to_step, width);
      if (is_edge) std::copy(edge + r * kPanel, edge + r * kPanel + width, result + r * units);
    }
  }
}

}  // namespace

void apply_packed(const DenseLayer& layer, int64_t rows, const float* data, float* out) {
  const int64_t depth = layer.depth, panels = (layer.units + kPanel - 1) / kPanel;
  const bool is_copied = depth % kPage == 0;
  const int64_t threads = omp_get_num_threads(), most = (rows + kGroup - 1) / kGroup;
  // Each thread gets as many rows as the others; where these are few, each gets all of them and some panels.
  const bool is_by_rows = rows >= threads * 2 * kTall;
  const int64_t groups = is_by_rows ? (most + threads - 1) / threads * threads : most;
  const int64_t shares = is_by_rows ? 1 : std::min(threads, panels);
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
      for (int64_t panel = panels * share / shares; panel < panels * (share + 1) / shares; ++panel) {
        multiply(layer, left, is_copied ? kStep : depth, count, at, panel, out + row * layer.units);
      }
    }
  }
}

}  // namespace snli

// The columns of a panel; 0 where products with panels are slow: where the processor does not multiply and add at once.
extern "C" int snli_panel() {
#ifdef __FMA__
  return snli::kPanel;
#else
  return 0;
#endif
}
