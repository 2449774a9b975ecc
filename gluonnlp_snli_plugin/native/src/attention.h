// Softmax attention of some heads of one element of a batch.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "operator.h"
#include "simd.h"

namespace snli {

constexpr int kBlock = 64;  // rows of scores at a time

// Where queries, keys, values and lengths are, and how large everything is.
struct Problem {
  int heads, batch, queries, keys, size, padded_size, padded_queries, padded_keys;
  int64_t query_step, key_step;  // from one position to the next: of queries; of keys and values
  const float *query, *key, *value;
  const int32_t* lengths = nullptr;  // without them, all keys count
  float scale;
  Dropout dropout;

  Problem(int heads, int batch, int queries, int keys, int units)
      : heads(heads), batch(batch), queries(queries), keys(keys), size(units / heads), padded_size(round_up(size)),
        padded_queries(round_up(queries)), padded_keys(round_up(keys)), query_step(int64_t{batch} * units),
        key_step(query_step), scale(1.0f / std::sqrt(static_cast<float>(size))) {}

  // Where the vectors of a head begin in each array.
  int64_t head(int n, int h) const { return (int64_t{n} * heads + h) * size; }
  int length(int n, int i) const { return lengths ? std::max(0, std::min(lengths[n * queries + i], keys)) : keys; }
  int64_t row(int n, int h, int i) const { return (int64_t{n} * heads + h) * queries + i; }
};

// Neighbouring heads of one element of the batch.
struct Part {
  int n, first, heads;
};

// Memory of a thread, which is kept: its pages need not be mapped again for every layer.
enum Place { kQueries, kKeys, kValues, kContext, kDQueries, kDKeys, kDValues, kDContext, kKeysT, kValuesT, kScores,
             kDScores, kMask, kPlaces };

inline float* room_for(Place place, int64_t size) {
  static thread_local std::vector<float> rooms[kPlaces];
  auto& room = rooms[place];
  if (size > static_cast<int64_t>(room.size())) room.resize(size);
  return room.data();
}

// The vectors of the heads of a part, one padded matrix (rows, size) for each head. All heads are copied together, as
// they lie in memory: the vectors of one head are far apart.
class Matrices {
 public:
  Matrices(const Problem& problem, const Part& part, Place place, int rows, int padded_rows)
      : problem_(problem), part_(part), rows_(rows), size_(int64_t{padded_rows} * problem.padded_size),
        numbers_(room_for(place, part.heads * size_)) {}

  float* operator[](int head) { return numbers_ + head * size_; }

  void read(const float* from, int64_t step) {
    const int size = problem_.size, padded = problem_.padded_size;
    from += problem_.head(part_.n, part_.first);
    for (int row = 0; row < rows_; ++row, from += step) {
      for (int head = 0; head < part_.heads; ++head) {
        float* to = (*this)[head] + row * padded;
        copy(from + head * size, size, to);
        std::fill(to + size, to + padded, 0.0f);
      }
    }
    for (int head = 0; head < part_.heads; ++head) {
      std::fill((*this)[head] + rows_ * padded, (*this)[head] + size_, 0.0f);
    }
  }

  void write(float* to, int64_t step) {
    const int size = problem_.size;
    to += problem_.head(part_.n, part_.first);
    for (int row = 0; row < rows_; ++row, to += step) {
      for (int head = 0; head < part_.heads; ++head) {
        copy((*this)[head] + row * problem_.padded_size, size, to + head * size);
      }
    }
  }

 private:
  // Without a call of memcpy: the vectors are short, and there are many.
  static void copy(const float* from, int size, float* to) {
    int j = 0;
    for (; j + kLanes <= size; j += kLanes) store(to + j, load(from + j));
    for (; j < size; ++j) to[j] = from[j];
  }

  const Problem& problem_;
  const Part& part_;
  int rows_;
  int64_t size_;
  float* numbers_;
};

constexpr auto plus = [](auto a, auto b) { return a + b; };
constexpr auto larger = [](auto a, auto b) { return b > a ? b : a; };

// What makes weights of a row of scores: exp(scale * score - offset) * factor.
struct Normalizer {
  float offset, factor;
};

// Scores j, j + 1, ... of a row, minus infinity for those from `length` on.
inline Vector load_scores(const float* row, int j, int length) {
  Integers index;
  for (int k = 0; k < kLanes; ++k) index[k] = j + k;
  return index < length ? load(row + j) : Vector{} - std::numeric_limits<float>::infinity();
}

// Softmax of scale * scores over the first `length` of a row of `padded` scores, in place, zeros after them.
inline Normalizer softmax(float* scores, int length, int padded, float scale) {
  if (length <= 0) {
    std::fill(scores, scores + padded, 0.0f);
    return {0.0f, 0.0f};
  }
  Vector most = load_scores(scores, 0, length), total = {};
  for (int j = kLanes; j < padded; j += kLanes) {
    const Vector s = load_scores(scores, j, length);
    most = larger(most, s);
  }
  const float offset = reduce<kLanes>(most, larger) * scale;
  for (int j = 0; j < padded; j += kLanes) {
    const Vector power = exponential(load_scores(scores, j, length) * scale - offset);
    store(scores + j, power);
    total += power;
  }
  const float factor = 1.0f / reduce<kLanes>(total, plus);
  for (int j = 0; j < padded; j += kLanes) store(scores + j, load(scores + j) * factor);
  return {offset, factor};
}

// The context vectors of the queries of some heads, into `out` with `out_step` from one position to the next, and what
// normalized each row of scores into `normalizers`, unless it is null.
inline void attend(const Problem& in, const Part& part, float* out, int64_t out_step, Normalizer* normalizers) {
  Matrices queries(in, part, kQueries, in.queries, in.padded_queries), keys(in, part, kKeys, in.keys, in.padded_keys);
  Matrices values(in, part, kValues, in.keys, in.padded_keys);
  Matrices context(in, part, kContext, in.queries, in.padded_queries);
  queries.read(in.query, in.query_step);
  keys.read(in.key, in.key_step);
  values.read(in.value, in.key_step);
  float* keys_t = room_for(kKeysT, int64_t{in.padded_size} * in.padded_keys);
  float* scores = room_for(kScores, int64_t{kBlock} * in.padded_keys);
  for (int h = 0; h < part.heads; ++h) {
    transpose(keys[h], in.padded_size, in.padded_keys, in.padded_size, keys_t, in.padded_keys);
    for (int start = 0; start < in.queries; start += kBlock) {
      const int rows = std::min(kBlock, in.queries - start);
      const int64_t first = start * in.padded_size;
      multiply(queries[h] + first, in.padded_size, 1, keys_t, scores, rows, in.padded_keys, in.size);
      for (int i = 0; i < rows; ++i) {
        float* s = scores + i * in.padded_keys;
        const int length = in.length(part.n, start + i);
        const int64_t row = in.row(part.n, part.first + h, start + i);
        const Normalizer normalizer = softmax(s, length, in.padded_keys, in.scale);
        if (normalizers) normalizers[row] = normalizer;
        if (in.dropout.is_on) {
          const uint32_t first_weight = static_cast<uint32_t>(row * in.keys);
          // Of the padding, too, whose weights are zero: whole vectors.
#pragma omp simd
          for (int j = 0; j < in.padded_keys; ++j) s[j] *= in.dropout(first_weight + j);
        }
      }
      multiply(scores, in.padded_keys, 1, values[h], context[h] + first, rows, in.padded_size, in.keys);
    }
  }
  context.write(out, out_step);
}

}  // namespace snli
