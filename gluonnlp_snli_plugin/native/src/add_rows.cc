// _snli_add_rows: data (T, N, C) with row t of rows (T, C) added to each of the N vectors of position t.

#include <algorithm>

#include "operator.h"

namespace snli {
namespace {

struct Sizes {
  int64_t positions, batch, width;

  explicit Sizes(const MXTensor& data) : positions(data.shape[0]), batch(data.shape[1]), width(data.shape[2]) {}
};

MXReturnValue forward(const Attributes&, Tensors* inputs, Tensors* outputs, const OpResource&) {
  const Sizes sizes((*inputs)[0]);
  const float *data = (*inputs)[0].data<float>(), *rows = (*inputs)[1].data<float>();
  float* out = (*outputs)[0].data<float>();
#pragma omp parallel for schedule(static)
  for (int64_t vector = 0; vector < sizes.positions * sizes.batch; ++vector) {
    const float *from = data + vector * sizes.width, *row = rows + vector / sizes.batch * sizes.width;
    float* to = out + vector * sizes.width;
#pragma omp simd
    for (int64_t j = 0; j < sizes.width; ++j) to[j] = from[j] + row[j];
  }
  return MX_SUCCESS;
}

MXReturnValue backward(const Attributes&, Tensors* inputs, Tensors* outputs, const OpResource&) {
  const Sizes sizes((*inputs)[0]);
  const float* gradient = (*inputs)[0].data<float>();
  float *of_data = (*outputs)[0].data<float>(), *of_rows = (*outputs)[1].data<float>();
#pragma omp parallel for schedule(static)
  for (int64_t position = 0; position < sizes.positions; ++position) {
    float* sum = of_rows + position * sizes.width;
    std::fill(sum, sum + sizes.width, 0.0f);
    for (int64_t n = 0; n < sizes.batch; ++n) {
      const int64_t first = (position * sizes.batch + n) * sizes.width;
#pragma omp simd
      for (int64_t j = 0; j < sizes.width; ++j) {
        sum[j] += gradient[first + j];
        of_data[first + j] = gradient[first + j];
      }
    }
  }
  return MX_SUCCESS;
}

MXReturnValue parse(const Attributes&, int* num_in, int* num_out) {
  *num_in = 2;
  *num_out = 1;
  return MX_SUCCESS;
}

MXReturnValue shapes(const Attributes&, Shapes* in, Shapes* out) {
  const Shape data = (*in)[0];
  if (data.size() != 3) {
    MX_ERROR_MSG << "the data are not (positions, batch, width)";
    return MX_FAIL;
  }
  (*in)[1] = {data[0], data[2]};  // MXNet compares it with what is known
  (*out)[0] = data;
  return MX_SUCCESS;
}

}  // namespace

SNLI_OPERATOR(_snli_add_rows, all_float);

}  // namespace snli
