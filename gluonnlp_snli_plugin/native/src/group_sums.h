// Sums over the rows of a matrix that several threads go through.

#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace snli {

// The sums are made for so many groups of rows, in a fixed order: the same result for any number of threads.
constexpr int kGroups = 32;

// `count` rows of sums, each `width` numbers long.
class GroupSums {
 public:
  GroupSums(int count, int64_t width) : count_(count), width_(width), parts_(kGroups * count * width) {}

  // What a group adds to sum `which`.
  float* part(int group, int which) { return parts_.data() + (int64_t{group} * count_ + which) * width_; }

  void add_up(int which, float* sums) {
    std::fill(sums, sums + width_, 0.0f);
    for (int group = 0; group < kGroups; ++group) {
      const float* from = part(group, which);
#pragma omp simd
      for (int64_t j = 0; j < width_; ++j) sums[j] += from[j];
    }
  }

 private:
  int count_;
  int64_t width_;
  std::vector<float> parts_;
};

}  // namespace snli
