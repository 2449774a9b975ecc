// Inference with a whole classifier in one call: a BERT or one of its kin, and its head.
//
// Tokens of all pairs lie one after the other, without padding. All threads go through the layers together and meet
// after each step.

#include <algorithm>
#include <new>
#include <vector>

#include "attention.h"
#include "inference.h"
#include "layer_norm.h"

namespace snli {

// The program that makes these has the same structures: only pointers and 64-bit numbers, but for `eps`.
struct Norm {
  const float *gamma, *beta;
  double eps;
};

struct EncoderLayer {
  DenseLayer query;      // of first tokens; no units where all tokens are encoded
  DenseLayer projected;  // keys and values, or queries, keys and values, side by side
  DenseLayer context;
  Norm context_norm;
  DenseLayer hidden, output;
  Norm norm;
};

enum class Pooling : int64_t { kFirst, kMean };

struct Classifier {
  int64_t units, heads, num_words, num_positions, num_segments, num_layers, num_dense;
  const float *words, *positions, *segments;  // embeddings; no segments: null
  Norm norm;
  const EncoderLayer* layers;
  Pooling pooling;
  const DenseLayer* dense;  // the head's
};

namespace {

struct Pairs {
  int64_t number;
  const int32_t *ids, *second;  // second: the position of the hypothesis's first token, where segment 1 begins
  const int64_t* offsets;       // of each pair in `ids`, and where the last one ends

  int64_t tokens() const { return offsets[number] - offsets[0]; }
  int64_t start(int64_t pair) const { return offsets[pair] - offsets[0]; }
  int64_t length(int64_t pair) const { return offsets[pair + 1] - offsets[pair]; }
};

// Memory of a thread that calls, which is kept: its pages need not be mapped again for every call.
struct Room {
  std::vector<float> states, wide, narrow, first, query;
  QuantizedRows quantized;
};

float* make_room(std::vector<float>& room, int64_t size) {
  if (size > static_cast<int64_t>(room.size())) room.resize(size);
  return room.data();
}

void normalize_row(const Norm& norm, int64_t units, float* row) {
  normalize(row, static_cast<int>(units), norm.gamma, norm.beta, static_cast<float>(norm.eps), row);
}

int64_t clip(int64_t number, int64_t size) { return std::max<int64_t>(0, std::min(number, size - 1)); }

void embed(const Classifier& net, const Pairs& pairs, float* states) {
#pragma omp for schedule(static)
  for (int64_t pair = 0; pair < pairs.number; ++pair) {
    for (int64_t i = 0; i < pairs.length(pair); ++i) {
      float* state = states + (pairs.start(pair) + i) * net.units;
      const float* word = net.words + clip(pairs.ids[pairs.offsets[pair] + i], net.num_words) * net.units;
      const float* position = net.positions + clip(i, net.num_positions) * net.units;
      const int64_t segment = clip(i >= pairs.second[pair], net.num_segments);
#pragma omp simd
      for (int64_t j = 0; j < net.units; ++j) state[j] = word[j] + position[j];
      if (net.segments) {
        const float* row = net.segments + segment * net.units;
#pragma omp simd
        for (int64_t j = 0; j < net.units; ++j) state[j] += row[j];
      }
      normalize_row(net.norm, net.units, state);
    }
  }
}

// states = LayerNorm(states + more), row by row.
void add(const Norm& norm, int64_t rows, int64_t units, const float* more, float* states) {
#pragma omp for schedule(static)
  for (int64_t row = 0; row < rows; ++row) {
    float* state = states + row * units;
    const float* other = more + row * units;
#pragma omp simd
    for (int64_t j = 0; j < units; ++j) state[j] += other[j];
    normalize_row(norm, units, state);
  }
}

// Each pair's attention over its own tokens. `query` has first tokens alone, or is null.
void attend(const Classifier& net, const Pairs& pairs, const float* query, const float* projected, float* context) {
  const int64_t step = (query ? 2 : 3) * net.units, threads = omp_get_num_threads();
  // Few pairs are divided: each thread gets some heads.
  const int64_t parts = pairs.number >= 4 * threads ? 1 : std::min(threads, net.heads);
#pragma omp for schedule(dynamic)
  for (int64_t task = 0; task < pairs.number * parts; ++task) {
    const int64_t pair = task / parts, share = task % parts;
    const int64_t first = net.heads * share / parts, end = net.heads * (share + 1) / parts;
    const int length = static_cast<int>(pairs.length(pair)), units = static_cast<int>(net.units);
    Problem problem(static_cast<int>(net.heads), 1, query ? 1 : length, length, units);
    const float* here = projected + pairs.start(pair) * step;
    problem.query = query ? query + pair * units : here;
    problem.key = query ? here : here + units;
    problem.value = problem.key + units;
    problem.query_step = problem.key_step = step;
    const int64_t to = query ? pair : pairs.start(pair);
    attend(problem, Part{0, static_cast<int>(first), static_cast<int>(end - first)}, context + to * units, units, nullptr);
  }
}

// The first vector of each pair.
void take_first(const Pairs& pairs, int64_t units, const float* states, float* out) {
#pragma omp for schedule(static)
  for (int64_t pair = 0; pair < pairs.number; ++pair) {
    const float* state = states + pairs.start(pair) * units;
    std::copy(state, state + units, out + pair * units);
  }
}

// The mean of the vectors of each pair.
void average(const Pairs& pairs, int64_t units, const float* states, float* out) {
#pragma omp for schedule(static)
  for (int64_t pair = 0; pair < pairs.number; ++pair) {
    float* mean = out + pair * units;
    std::fill(mean, mean + units, 0.0f);
    for (int64_t i = 0; i < pairs.length(pair); ++i) {
      const float* state = states + (pairs.start(pair) + i) * units;
#pragma omp simd
      for (int64_t j = 0; j < units; ++j) mean[j] += state[j];
    }
    for (int64_t j = 0; j < units; ++j) mean[j] /= static_cast<float>(pairs.length(pair));
  }
}

void compute(const Classifier& net, int threads, const Pairs& pairs, float* out) {
  const int64_t tokens = pairs.tokens(), units = net.units;
  int64_t widest = 3 * units;
  for (int64_t i = 0; i < net.num_layers; ++i) widest = std::max(widest, net.layers[i].hidden.units);
  for (int64_t i = 0; i < net.num_dense; ++i) widest = std::max(widest, net.dense[i].units);
  static thread_local Room room;
  float* const states = make_room(room.states, tokens * units);
  float* const first = make_room(room.first, pairs.number * units);
  float* const query = make_room(room.query, pairs.number * units);
  float* const wide = make_room(room.wide, tokens * widest);
  float* const narrow = make_room(room.narrow, std::max(tokens * units, pairs.number * widest));
  QuantizedRows& quantized = room.quantized;
  quantized.make_room(tokens, widest);
#pragma omp parallel num_threads(threads)
  {
    embed(net, pairs, states);
    float* now = states;
    int64_t rows = tokens;
    for (int64_t i = 0; i < net.num_layers; ++i) {
      const EncoderLayer& layer = net.layers[i];
      const bool is_first_only = layer.query.units > 0;
      apply(layer.projected, rows, now, wide, quantized);
      if (is_first_only) {
        take_first(pairs, units, now, first);
        apply(layer.query, pairs.number, first, query, quantized);
        now = first;
        rows = pairs.number;
      }
      attend(net, pairs, is_first_only ? query : nullptr, wide, narrow);
      apply(layer.context, rows, narrow, wide, quantized);
      add(layer.context_norm, rows, units, wide, now);
      apply(layer.hidden, rows, now, wide, quantized);
      apply(layer.output, rows, wide, narrow, quantized);
      add(layer.norm, rows, units, narrow, now);
    }
    if (now == states) {
      (net.pooling == Pooling::kMean ? average : take_first)(pairs, units, states, first);
      now = first;
    }
    const float* encoding = now;
    for (int64_t i = 0; i < net.num_dense; ++i) {
      float* const to = i + 1 == net.num_dense ? out : i % 2 ? narrow : wide;
      apply(net.dense[i], pairs.number, encoding, to, quantized);
      encoding = to;
    }
  }
}

}  // namespace
}  // namespace snli

// The logits of pairs, out (number, classes). Returns 0, or 1 if there is too little memory.
extern "C" int snli_classify(const snli::Classifier* net, int threads, int64_t number, const int32_t* ids,
                             const int32_t* second, const int64_t* offsets, float* out) {
  try {
    snli::compute(*net, threads, {number, ids, second, offsets}, out);
    return 0;
  } catch (const std::bad_alloc&) {
    return 1;
  }
}

// out (rows, units) = layer(data (rows, depth)); returns as snli_classify does.
extern "C" int snli_apply(const snli::DenseLayer* layer, int threads, int64_t rows, const float* data, float* out) {
  try {
    snli::QuantizedRows quantized;
    quantized.make_room(rows, layer->depth);
#pragma omp parallel num_threads(threads)
    snli::apply(*layer, rows, data, out, quantized);
    return 0;
  } catch (const std::bad_alloc&) {
    return 1;
  }
}
