// _snli_clip_factor and _snli_adam: what comes between gradients and new weights, for all parameters in two calls.
//
// _snli_clip_factor: inputs are `num` gradients; output (2,): their global norm, and min(1, max_norm / norm), what they
// must be multiplied by (1 if max_norm is 0, NaN if there is one and the norm is not finite).
//
// _snli_adam: inputs are `num` weights, as many gradients, means, variances, and a factor (1,) that the gradients are
// multiplied by. Weights, means and variances change in place. Attributes: lrs and wds (for each parameter, separated
// by commas), beta1, beta2, epsilon; decoupled=1: weight decay beside the step (AdamW as in GluonNLP's BERTAdam,
// without bias correction), 0: as part of the gradient (Adam). A factor that is not finite leaves everything as it was.
// Output (1,): the factor.

#include <algorithm>
#include <cmath>
#include <sstream>

#include "operator.h"

namespace snli {
namespace {

constexpr int64_t kChunk = 16384;  // elements a thread takes at once

struct Piece {
  int tensor;
  int64_t start, end;
};

// All elements of `count` tensors in pieces.
std::vector<Piece> pieces(Tensors& in, int count) {
  std::vector<Piece> result;
  for (int i = 0; i < count; ++i) {
    const int64_t size = in[i].size();
    for (int64_t start = 0; start < size; start += kChunk) result.push_back({i, start, std::min(size, start + kChunk)});
  }
  return result;
}

std::vector<double> numbers(const Attributes& attributes, const char* name, int count) {
  std::vector<double> result;
  const auto found = attributes.find(name);
  std::stringstream text(found == attributes.end() ? "" : found->second);
  for (std::string item; std::getline(text, item, ',');) result.push_back(std::stod(item));
  result.resize(count, 0.0);
  return result;
}

MXReturnValue clip_factor(const Attributes& attributes, Tensors* inputs, Tensors* outputs, const OpResource&) {
  const auto work = pieces(*inputs, static_cast<int>(inputs->size()));
  std::vector<double> sums(work.size());
#pragma omp parallel for schedule(static)
  for (size_t i = 0; i < work.size(); ++i) {
    const float* g = (*inputs)[work[i].tensor].data<float>();
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = work[i].start; j < work[i].end; ++j) sum += g[j] * g[j];
    sums[i] = sum;
  }
  double total = 0.0;
  for (const double sum : sums) total += sum;
  const double norm = std::sqrt(total), most = number(attributes, "max_norm", 0.0);
  float* out = (*outputs)[0].data<float>();
  out[0] = static_cast<float>(norm);
  out[1] = static_cast<float>(most > 0.0 && !(norm <= most) ? (std::isfinite(norm) ? most / norm : NAN) : 1.0);
  return MX_SUCCESS;
}

struct Rule {
  float beta1, beta2, epsilon, factor;
  bool is_decoupled;

  void update(float* w, const float* g, float* m, float* v, int64_t size, float lr, float wd) const {
    const float inside = is_decoupled ? 0.0f : wd, beside = is_decoupled ? wd : 0.0f;
#pragma omp simd
    for (int64_t j = 0; j < size; ++j) {
      const float gradient = g[j] * factor + inside * w[j];
      m[j] = beta1 * m[j] + (1.0f - beta1) * gradient;
      v[j] = beta2 * v[j] + (1.0f - beta2) * gradient * gradient;
      w[j] -= lr * (m[j] / (std::sqrt(v[j]) + epsilon) + beside * w[j]);
    }
  }
};

MXReturnValue adam(const Attributes& attributes, Tensors* inputs, Tensors* outputs, const OpResource&) {
  const int count = integer(attributes, "num", 1);
  const float factor = inputs->back().data<float>()[0];
  (*outputs)[0].data<float>()[0] = factor;
  if (!std::isfinite(factor)) return MX_SUCCESS;
  const auto lrs = numbers(attributes, "lrs", count), wds = numbers(attributes, "wds", count);
  const Rule rule{static_cast<float>(number(attributes, "beta1", 0.9)),
                  static_cast<float>(number(attributes, "beta2", 0.999)),
                  static_cast<float>(number(attributes, "epsilon", 1e-6)), factor,
                  integer(attributes, "decoupled", 1) != 0};
  const auto work = pieces(*inputs, count);
#pragma omp parallel for schedule(static)
  for (size_t i = 0; i < work.size(); ++i) {
    const int tensor = work[i].tensor;
    float* w = (*inputs)[tensor].data<float>();
    const float* g = (*inputs)[count + tensor].data<float>();
    float* m = (*inputs)[2 * count + tensor].data<float>();
    float* v = (*inputs)[3 * count + tensor].data<float>();
    const int64_t j = work[i].start;
    rule.update(w + j, g + j, m + j, v + j, work[i].end - j, static_cast<float>(lrs[tensor]),
                static_cast<float>(wds[tensor]));
  }
  return MX_SUCCESS;
}

MXReturnValue clip_parse(const Attributes& attributes, int* num_in, int* num_out) {
  *num_in = integer(attributes, "num", 1);
  *num_out = 1;
  return MX_SUCCESS;
}

MXReturnValue adam_parse(const Attributes& attributes, int* num_in, int* num_out) {
  *num_in = 4 * integer(attributes, "num", 1) + 1;
  *num_out = 1;
  return MX_SUCCESS;
}

MXReturnValue clip_shapes(const Attributes&, Shapes*, Shapes* out) {
  (*out)[0] = {2};
  return MX_SUCCESS;
}

MXReturnValue adam_shapes(const Attributes& attributes, Shapes* in, Shapes* out) {
  const int count = integer(attributes, "num", 1);
  for (int i = 0; i < 4 * count; ++i) {
    if ((*in)[i] != (*in)[i % count]) {
      MX_ERROR_MSG << "a gradient, mean or variance is not of its weight's shape";
      return MX_FAIL;
    }
  }
  (*out)[0] = {1};
  return MX_SUCCESS;
}

MXReturnValue adam_mutates(const Attributes& attributes, std::vector<int>* indices) {
  const int count = integer(attributes, "num", 1);
  for (int i = 0; i < 4 * count; ++i) {
    if (i / count != 1) indices->push_back(i);  // all but the gradients
  }
  return MX_SUCCESS;
}

}  // namespace

REGISTER_OP(_snli_clip_factor)
    .setForward(clip_factor, "cpu")
    .setParseAttrs(clip_parse)
    .setInferType(all_float)
    .setInferShape(clip_shapes);

REGISTER_OP(_snli_adam)
    .setForward(adam, "cpu")
    .setParseAttrs(adam_parse)
    .setInferType(all_float)
    .setInferShape(adam_shapes)
    .setMutateInputs(adam_mutates);

}  // namespace snli
