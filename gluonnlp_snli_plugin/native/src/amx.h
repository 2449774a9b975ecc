// AMX: registers of 16 rows of 64 bytes, and instructions that multiply them.

#pragma once

#include <unistd.h>

#include <algorithm>
#include <cstdint>

#if defined(__AMX_BF16__) && defined(__AMX_INT8__)
#include <immintrin.h>
#define SNLI_AMX
#endif

namespace snli {

#ifdef SNLI_AMX

// Makes the registers usable, for the thread that makes this and as long as it lasts.
class Amx {
 public:
  // Linux lets a process use them once it has asked.
  static bool is_permitted() {
    constexpr int kArchPrctl = 158, kRequestPermission = 0x1023, kTileData = 18;
    static const bool result = syscall(kArchPrctl, kRequestPermission, kTileData) == 0;
    return result;
  }

  Amx() {
    if (!is_permitted()) return;
    Shapes shapes;
    std::fill(shapes.bytes, shapes.bytes + 8, 64);
    std::fill(shapes.rows, shapes.rows + 8, 16);
    _tile_loadconfig(&shapes);
  }

  ~Amx() {
    if (is_permitted()) _tile_release();
  }

 private:
  struct alignas(64) Shapes {
    uint8_t palette = 1, start = 0, reserved[14] = {};
    uint16_t bytes[16] = {};
    uint8_t rows[16] = {};
  };
};

#else

struct Amx {
  static bool is_permitted() { return false; }
};

#endif

}  // namespace snli
