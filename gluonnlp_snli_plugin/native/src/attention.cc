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
  int heads, batch, queries, keys, size, padded_size, padded_keys;
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

// `count` vectors of `size` numbers, `step` apart, as rows of a padded matrix.
void gather(const float* from, int64_t step, int count, int size, int padded, float* to) {
  for (int t = 0; t < count; ++t) {
    std::memcpy(to + t * padded, from + t * step, size * sizeof(float));
    std::fill(to + t * padded + size, to + (t + 1) * padded, 0.0f);
  }
}

// The same as columns.
void gather_transposed(const float* from, int64_t step, int count, int size, int padded, float* to) {
  for (int p = 0; p < size; ++p) {
    for (int t = 0; t < count; ++t) to[p * padded + t] = from[t * step + p];
    std::fill(to + p * padded + count, to + (p + 1) * padded, 0.0f);
  }
}

void scatter(const float* from, int count, int size, int padded, float* to, int64_t step) {
  for (int t = 0; t < count; ++t) std::memcpy(to + t * step, from + t * padded, size * sizeof(float));
}

constexpr auto plus = [](auto a, auto b) { return a + b; };
constexpr auto larger = [](auto a, auto b) { return b > a ? b : a; };
constexpr float kNone = -std::numeric_limits<float>::infinity();

// What makes weights of a row of scores: exp(scale * score - offset) * factor.
struct Normalizer {
  float offset, factor;
};

// Softmax of scale * scores over the first `length` of a row of `padded` scores, in place, zeros after them.
Normalizer softmax(float* scores, int length, int padded, float scale) {
  if (length <= 0) {
    std::fill(scores, scores + padded, 0.0f);
    return {0.0f, 0.0f};
  }
  std::fill(scores + length, scores + padded, kNone);
  Vector most = load(scores), total = {};
  for (int j = kLanes; j < padded; j += kLanes) {
    const Vector s = load(scores + j);
    most = larger(most, s);
  }
  const float offset = reduce<kLanes>(most, larger) * scale;
  for (int j = 0; j < padded; j += kLanes) {
    const Vector power = exponential(load(scores + j) * scale - offset);
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
  length = std::max(length, 0);
  std::fill(scores + length, scores + padded, kNone);
  Vector total = {};
  for (int j = 0; j < padded; j += kLanes) {
    const Vector weight = exponential(load(scores + j) * scale - normalizer.offset) * normalizer.factor;
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
#pragma omp parallel
  {
    std::vector<float> keys(in.size * in.padded_keys), values(in.keys * in.padded_size);
    std::vector<float> scores(kBlock * in.padded_keys), context(kBlock * in.padded_size);
#pragma omp for schedule(static) collapse(2)
    for (int n = 0; n < in.batch; ++n) {
      for (int h = 0; h < in.heads; ++h) {
        const int64_t head = in.head(n, h);
        gather_transposed(in.key + head, in.step, in.keys, in.size, in.padded_keys, keys.data());
        gather(in.value + head, in.step, in.keys, in.size, in.padded_size, values.data());
        for (int start = 0; start < in.queries; start += kBlock) {
          const int rows = std::min(kBlock, in.queries - start);
          multiply(in.query + head + start * in.step, in.step, 1, keys.data(), scores.data(), rows, in.padded_keys,
                   in.size);
          for (int i = 0; i < rows; ++i) {
            float* s = scores.data() + i * in.padded_keys;
            const int length = in.length(n, start + i);
            normalizers[in.row(n, h, start + i)] = softmax(s, length, in.padded_keys, in.scale);
            if (in.dropout.is_on) {
              const uint32_t first = static_cast<uint32_t>(in.row(n, h, start + i) * in.keys);
#pragma omp simd
              for (int j = 0; j < length; ++j) s[j] *= in.dropout(first + j);
            }
          }
          multiply(scores.data(), in.padded_keys, 1, values.data(), context.data(), rows, in.padded_size, in.keys);
          scatter(context.data(), rows, in.size, in.padded_size, out + head + start * in.step, in.step);
        }
      }
    }
  }
  return MX_SUCCESS;
}

MXReturnValue backward(const Attributes& attributes, Tensors* inputs, Tensors* outputs, const OpResource&) {
  const float* gradient = (*inputs)[0].data<float>();
  const Problem in(attributes, *inputs, 2);
  const auto* normalizers = inputs->back().data<Normalizer>();
  float* d_query = (*outputs)[0].data<float>();
  float* d_key = (*outputs)[1].data<float>();
  float* d_value = (*outputs)[2].data<float>();
#pragma omp parallel
  {
    const int by_size = in.keys * in.padded_size;
    std::vector<float> keys(by_size), d_keys(by_size), d_values(by_size);
    std::vector<float> keys_t(in.size * in.padded_keys), values_t(in.size * in.padded_keys);
    std::vector<float> weights(kBlock * in.padded_keys), d_weights(kBlock * in.padded_keys);
    std::vector<float> queries(kBlock * in.padded_size), d_queries(kBlock * in.padded_size);
    std::vector<float> d_context(kBlock * in.padded_size), mask(in.padded_keys, 1.0f);
#pragma omp for schedule(static) collapse(2)
    for (int n = 0; n < in.batch; ++n) {
      for (int h = 0; h < in.heads; ++h) {
        const int64_t head = in.head(n, h);
        gather(in.key + head, in.step, in.keys, in.size, in.padded_size, keys.data());
        gather_transposed(in.key + head, in.step, in.keys, in.size, in.padded_keys, keys_t.data());
        gather_transposed(in.value + head, in.step, in.keys, in.size, in.padded_keys, values_t.data());
        for (int start = 0; start < in.queries; start += kBlock) {
          const int rows = std::min(kBlock, in.queries - start);
          const bool is_later = start > 0;
          const int64_t first_row = head + start * in.step;
          gather(in.query + first_row, in.step, rows, in.size, in.padded_size, queries.data());
          gather(gradient + first_row, in.step, rows, in.size, in.padded_size, d_context.data());
          multiply(queries.data(), in.padded_size, 1, keys_t.data(), weights.data(), rows, in.padded_keys, in.size);
          multiply(d_context.data(), in.padded_size, 1, values_t.data(), d_weights.data(), rows, in.padded_keys,
                   in.size);
          for (int i = 0; i < rows; ++i) {
            float* p = weights.data() + i * in.padded_keys;
            float* d = d_weights.data() + i * in.padded_keys;
            const int length = in.length(n, start + i);
            if (in.dropout.is_on) {
              const uint32_t first = static_cast<uint32_t>(in.row(n, h, start + i) * in.keys);
#pragma omp simd
              for (int j = 0; j < length; ++j) mask[j] = in.dropout(first + j);
            }
            softmax_backward(p, d, mask.data(), length, in.padded_keys, in.scale,
                             normalizers[in.row(n, h, start + i)]);
          }
          multiply(weights.data(), 1, in.padded_keys, d_context.data(), d_values.data(), in.keys, in.padded_size, rows,
                   is_later);
          multiply(d_weights.data(), 1, in.padded_keys, queries.data(), d_keys.data(), in.keys, in.padded_size, rows,
                   is_later);
          multiply(d_weights.data(), in.padded_keys, 1, keys.data(), d_queries.data(), rows, in.padded_size, in.keys);
          scatter(d_queries.data(), rows, in.size, in.padded_size, d_query + first_row, in.step);
        }
        scatter(d_keys.data(), in.keys, in.size, in.padded_size, d_key + head, in.step);
        scatter(d_values.data(), in.keys, in.size, in.padded_size, d_value + head, in.step);
      }
    }
  }
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

REGISTER_OP(_snli_attention)
    .setForward(forward, "cpu")
    .setBackward(backward, "cpu")
    .setParseAttrs(parse)
    .setInferType(types)
    .setInferShape(shapes);

}  // namespace snli
