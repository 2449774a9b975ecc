// _snli_attention: dropout(softmax(Q K^T / sqrt(d), length)) V for all heads, the matrices in between never in memory.
//
// Inputs: queries (Tq, N, H * d), keys (T, N, H * d), values (T, N, H * d), then the lengths (N, Tq) of int32 if
// use_length=1, then the dropout key if dropout=1. Attributes: heads, p. Outputs: the context (Tq, N, H * d), and two
// numbers for each row of scores (N, H, Tq, 2), from which the backward pass computes the softmax again.

#include "attention.h"

namespace snli {
namespace {

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

// The inputs from number `offset` on, as the operator's attributes describe them.
Problem problem_of(const Attributes& attributes, Tensors& in, size_t offset) {
  const auto &query = in[offset].shape, &key = in[offset + 1].shape;
  Problem problem(integer(attributes, "heads", 1), static_cast<int>(query[1]), static_cast<int>(query[0]),
                  static_cast<int>(key[0]), static_cast<int>(query[2]));
  problem.query = in[offset].data<float>();
  problem.key = in[offset + 1].data<float>();
  problem.value = in[offset + 2].data<float>();
  size_t next = offset + 3;
  if (integer(attributes, "use_length", 0)) problem.lengths = in[next++].data<int32_t>();
  if (integer(attributes, "dropout", 0)) problem.dropout = Dropout(attributes, in[next].data<float>());
  return problem;
}

MXReturnValue forward(const Attributes& attributes, Tensors* inputs, Tensors* outputs, const OpResource&) {
  const Problem in = problem_of(attributes, *inputs, 0);
  float* out = (*outputs)[0].data<float>();
  auto* normalizers = (*outputs)[1].data<Normalizer>();
  for_each_part(in, [&](const Part& part) { attend(in, part, out, in.query_step, normalizers); });
  return MX_SUCCESS;
}

MXReturnValue backward(const Attributes& attributes, Tensors* inputs, Tensors* outputs, const OpResource&) {
  const Problem in = problem_of(attributes, *inputs, 2);
  const auto* normalizers = inputs->back().data<Normalizer>();
  for_each_part(in, [&](const Part& part) {
    Matrices queries(in, part, kQueries, in.queries, in.padded_queries), keys(in, part, kKeys, in.keys, in.padded_keys);
    Matrices values(in, part, kValues, in.keys, in.padded_keys);
    Matrices d_context(in, part, kDContext, in.queries, in.padded_queries);
    Matrices d_queries(in, part, kDQueries, in.queries, in.padded_queries);
    Matrices d_keys(in, part, kDKeys, in.keys, in.padded_keys), d_values(in, part, kDValues, in.keys, in.padded_keys);
    queries.read(in.query, in.query_step);
    keys.read(in.key, in.key_step);
    values.read(in.value, in.key_step);
    d_context.read((*inputs)[0].data<float>(), in.query_step);
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
            for (int j = 0; j < in.padded_keys; ++j) mask[j] = in.dropout(first_weight + j);
          }
          softmax_backward(weights + i * in.padded_keys, d_weights + i * in.padded_keys, mask, length, in.padded_keys,
                           in.scale, normalizers[row]);
        }
        multiply(weights, 1, in.padded_keys, d, d_values[h], in.keys, in.padded_size, rows, is_later);
        multiply(d_weights, 1, in.padded_keys, q, d_keys[h], in.keys, in.padded_size, rows, is_later);
        multiply(d_weights, in.padded_keys, 1, keys[h], d_queries[h] + first, rows, in.padded_size, in.keys);
      }
    }
    d_queries.write((*outputs)[0].data<float>(), in.query_step);
    d_keys.write((*outputs)[1].data<float>(), in.key_step);
    d_values.write((*outputs)[2].data<float>(), in.key_step);
  });
  if (integer(attributes, "dropout", 0)) std::memset(outputs->back().data<float>(), 0, kKeySize * sizeof(float));
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
