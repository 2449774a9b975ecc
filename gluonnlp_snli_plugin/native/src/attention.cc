// _snli_attention: dropout(softmax(Q K^T / sqrt(d), length)) V for all heads, the matrices in between never in memory.
//
// Inputs: queries (Tq, N, H * d), keys (T, N, H * d), values (T, N, H * d), then the lengths (N, Tq) of int32 if
// use_length=1, then the dropout key if dropout=1. Attributes: heads, p. Outputs: the context (Tq, N, H * d), and two
// numbers for each row of scores (N, H, Tq, 2), from which the backward pass computes the softmax again.

#include <algorithm>
#include <cmath>
#include <limits>

#include "operator.h"
#include "simd.h"

namespace snli {
namespace {

constexpr int kBlock = 64;  // rows of scores at a time

// Where queries, keys, values and lengths are, and how large everything is.
struct Problem {
  int heads, batch, queries, keys, size, padded_size, padded_queries, padded_keys;
  int64_t step;  // from one position to the next
  const float *query, *key, *value, *dropout_key = nullptr;
  const int32_t* lengths = nullptr;
  float scale;
  Dropout dropout;

  Problem(const Attributes& attributes, Tensors& in, size_t offset) {
    heads = integer(attributes, "heads", 1);
    const auto& shape = in[offset].shape;
    queries = static_cast<int>(shape[0]);
    keys = static_cast<int>(in[offset + 1].shape[0]);
    batch = static_cast<int>(shape[1]);
    size = static_cast<int>(shape[2]) / heads;
    padded_size = round_up(size);
    padded_queries = round_up(queries);
    padded_keys = round_up(keys);
    step = batch * shape[2];
    query = in[offset].data<float>();
    key = in[offset + 1].data<float>();
    value = in[offset + 2].data<float>();
    size_t next = offset + 3;
    if (integer(attributes, "use_length", 0)) lengths = in[next++].data<int32_t>();
    if (integer(attributes, "dropout", 0)) dropout_key = in[next].data<float>();
    scale = 1.0f / std::sqrt(static_cast<float>(size));
    dropout = Dropout(attributes, dropout_key);
  }

  // Where the vectors of a head begin in each array.
  int64_t head(int n, int h) const { return (int64_t{n} * heads + h) * size; }
  int length(int n, int i) const { return lengths ? std::max(0, std::min(lengths[n * queries + i], keys)) : keys; }
  int64_t row(int n, int h, int i) const { return (int64_t{n} * heads + h) * queries + i; }
};

// Neighbouring heads of one element of the batch.
struct Part {
  int n, first, heads;
};

// Calls `compute` with parts that have all heads of all elements, in parallel.
template <class Function>
void for_each_part(const Problem& problem, Function compute) {
#pragma omp parallel
  {
    const int64_t all = int64_t{problem.batch} * problem.heads;
    const int64_t threads = omp_get_num_threads(), thread = omp_get_thread_num(), end = all * (thread + 1) / threads;
    for (int64_t at = all * thread / threads, next; at < end; at = next) {
      const int64_t n = at / problem.heads;
      next = std::min(end, (n + 1) * problem.heads);
      compute(Part{static_cast<int>(n), static_cast<int>(at % problem.heads), static_cast<int>(next - at)});
    }
  }
}

// Memory of a thread, which is kept: its pages need not be mapped again for every layer.
enum Place { kQueries, kKeys, kValues, kContext, kDQueries, kDKeys, kDValues, kDContext, kKeysT, kValuesT, kScores,
             kDScores, kMask, kPlaces };

float* room_for(Place place, int64_t size) {
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

  void read(const float* from) {
    const int size = problem_.size, padded = problem_.padded_size;
    from += problem_.head(part_.n, part_.first);
    for (int row = 0; row < rows_; ++row, from += problem_.step) {
      for (int head = 0; head < part_.heads; ++head) {
        float* to = (*this)[head] + row * padded;
        std::memcpy(to, from + head * size, size * sizeof(float));
        std::fill(to + size, to + padded, 0.0f);
      }
    }
    for (int head = 0; head < part_.heads; ++head) {
      std::fill((*this)[head] + rows_ * padded, (*this)[head] + size_, 0.0f);
    }
  }

  void write(float* to) {
    const int size = problem_.size;
    to += problem_.head(part_.n, part_.first);
    for (int row = 0; row < rows_; ++row, to += problem_.step) {
      for (int head = 0; head < part_.heads; ++head) {
        std::memcpy(to + head * size, (*this)[head] + row * problem_.padded_size, size * sizeof(float));
      }
    }
  }

 private:
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
Normalizer softmax(float* scores, int length, int padded, float scale) {
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

// From a row of scores and of gradients of the weights after dropout, in place: the weights after dropout, and the
// gradients of the scores.
void softmax_backward(float* scores, float* gradients, const float* mask, int length, int padded, float scale,
                      Normalizer normalizer) {
  Vector total = {};
  for (int j = 0; j < padded; j += kLanes) {
    const Vector score = load_scores(scores, j, length);
    const Vector weight = exponential(score * scale - normalizer.offset) * normalizer.factor;
    const Vector gradient = load(gradients + j) * load(mask + j);
    store(scores + j, weight);
    store(gradients + j, gradient);
    total += weight * gradient;
  }
  const float delta = reduce<kLanes>(total, plus);
  for (int j = 0; j < padded; j += kLanes) {
    const Vector weight = load(scores + j);
    store(gradients + j, weight * (load(gradients + j) - delta) * scale);
    store(scores + j, weight * load(mask + j));
  }
}

MXReturnValue forward(const Attributes& attributes, Tensors* inputs, Tensors* outputs, const OpResource&) {
  const Problem in(attributes, *inputs, 0);
  float* out = (*outputs)[0].data<float>();
  auto* normalizers = (*outputs)[1].data<Normalizer>();
  for_each_part(in, [&](const Part& part) {
    Matrices queries(in, part, kQueries, in.queries, in.padded_queries), keys(in, part, kKeys, in.keys, in.padded_keys);
    Matrices values(in, part, kValues, in.keys, in.padded_keys);
    Matrices context(in, part, kContext, in.queries, in.padded_queries);
    queries.read(in.query);
    keys.read(in.key);
    values.read(in.value);
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
          normalizers[row] = softmax(s, length, in.padded_keys, in.scale);
          if (in.dropout.is_on) {
            const uint32_t first_weight = static_cast<uint32_t>(row * in.keys);
#pragma omp simd
            for (int j = 0; j < length; ++j) s[j] *= in.dropout(first_weight + j);
          }
        }
        multiply(scores, in.padded_keys, 1, values[h], context[h] + first, rows, in.padded_size, in.keys);
      }
    }
    context.write(out);
  });
  return MX_SUCCESS;
}

MXReturnValue backward(const Attributes& attributes, Tensors* inputs, Tensors* outputs, const OpResource&) {
  const Problem in(attributes, *inputs, 2);
  const auto* normalizers = inputs->back().data<Normalizer>();
  for_each_part(in, [&](const Part& part) {
    Matrices queries(in, part, kQueries, in.queries, in.padded_queries), keys(in, part, kKeys, in.keys, in.padded_keys);
    Matrices values(in, part, kValues, in.keys, in.padded_keys);
    Matrices d_context(in, part, kDContext, in.queries, in.padded_queries);
    Matrices d_queries(in, part, kDQueries, in.queries, in.padded_queries);
    Matrices d_keys(in, part, kDKeys, in.keys, in.padded_keys), d_values(in, part, kDValues, in.keys, in.padded_keys);
    queries.read(in.query);
    keys.read(in.key);
    values.read(in.value);
    d_context.read((*inputs)[0].data<float>());
    float* keys_t = room_for(kKeysT, int64_t{in.padded_size} * in.padded_keys);
    float* values_t = room_for(kValuesT, int64_t{in.padded_size} * in.padded_keys);
    float* weights = room_for(kScores, int64_t{kBlock} * in.padded_keys);
    float* d_weights = room_for(kDScores, int64_t{kBlock} * in.padded_keys);
    float* mask = room_for(kMask, in.padded_keys);
    std::fill(mask, mask + in.padded_keys, 1.0f);
    for (int h = 0; h < part.heads; ++h) {
      transpose(keys[h], in.padded_size, in.padded_keys, in.padded_size, keys_t, in.padded_keys);
      transpose(values[h], in.padded_size, in.padded_keys, in.padded_size, values_t, in.padded_keys);
      for (int start = 0; start < in.queries; start += kBlock) {
        const int rows = std::min(kBlock, in.queries - start);
        const bool is_later = start > 0;
        const int64_t first = start * in.padded_size;
        const float *q = queries[h] + first, *d = d_context[h] + first;
        multiply(q, in.padded_size, 1, keys_t, weights, rows, in.padded_keys, in.size);
        multiply(d, in.padded_size, 1, values_t, d_weights, rows, in.padded_keys, in.size);
        for (int i = 0; i < rows; ++i) {
          const int length = in.length(part.n, start + i);
          const int64_t row = in.row(part.n, part.first + h, start + i);
          if (in.dropout.is_on) {
            const uint32_t first_weight = static_cast<uint32_t>(row * in.keys);
#pragma omp simd
            for (int j = 0; j < length; ++j) mask[j] = in.dropout(first_weight + j);
          }
          softmax_backward(weights + i * in.padded_keys, d_weights + i * in.padded_keys, mask, length, in.padded_keys,
                           in.scale, normalizers[row]);
        }
        multiply(weights, 1, in.padded_keys, d, d_values[h], in.keys, in.padded_size, rows, is_later);
        multiply(d_weights, 1, in.padded_keys, q, d_keys[h], in.keys, in.padded_size, rows, is_later);
        multiply(d_weights, in.padded_keys, 1, keys[h], d_queries[h] + first, rows, in.padded_size, in.keys);
      }
    }
    d_queries.write((*outputs)[0].data<float>());
    d_keys.write((*outputs)[1].data<float>());
    d_values.write((*outputs)[2].data<float>());
  });
  if (in.dropout_key) std::memset(outputs->back().data<float>(), 0, kKeySize * sizeof(float));
  return MX_SUCCESS;
}

MXReturnValue parse(const Attributes& attributes, int* num_in, int* num_out) {
  *num_in = 3 + integer(attributes, "use_length", 0) + integer(attributes, "dropout", 0);
  *num_out = 2;
  return MX_SUCCESS;
}

MXReturnValue types(const Attributes& attributes, std::vector<int>* in, std::vector<int>* out) {
  return float_types(integer(attributes, "use_length", 0) ? std::vector<int>{3} : std::vector<int>{}, in, out);
}

MXReturnValue shapes(const Attributes& attributes, Shapes* in, Shapes* out) {
  const int heads = integer(attributes, "heads", 1);
  const Shape query = (*in)[0], key = (*in)[1];
  if (query.size() != 3 || key.size() != 3 || heads < 1 || query[2] % heads || query[1] != key[1] ||
      query[2] != key[2] || (*in)[2] != key) {
    MX_ERROR_MSG << "queries, keys and values are not (length, batch, heads * size)";
    return MX_FAIL;
  }
  size_t next = 3;
  if (integer(attributes, "use_length", 0)) {
    const Shape lengths = {query[1], query[0]};
    if ((*in)[next].empty()) (*in)[next] = lengths;
    if ((*in)[next++] != lengths) {
      MX_ERROR_MSG << "the lengths are not of shape (batch, queries)";
      return MX_FAIL;
    }
  }
  if (integer(attributes, "dropout", 0)) (*in)[next] = {kKeySize};
  (*out)[0] = query;
  (*out)[1] = {query[1], static_cast<unsigned int>(heads), query[0], 2};
  return MX_SUCCESS;
}

}  // namespace

SNLI_OPERATOR(_snli_attention, types);

}  // namespace snli
