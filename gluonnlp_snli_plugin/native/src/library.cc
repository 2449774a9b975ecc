// The library as a whole: MXNet asks it, when it loads it, whether the two fit.

#include "operator.h"

mxnet::ext::MXReturnValue initialize(int version) {
  if (version / 100 == 109) return mxnet::ext::MX_SUCCESS;
  MX_ERROR_MSG << "built for MXNet 1.9, loaded by version " << version;
  return mxnet::ext::MX_FAIL;
}
