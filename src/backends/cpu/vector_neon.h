// The 16-lane vector on NEON with half-precision conversion: four registers. See vector.h.
#pragma once

#include <arm_neon.h>

#include "backends/cpu/vector.h"

namespace mlxd {

struct NeonVector {
  struct F {
    float32x4_t part[4];
  };
  static constexpr int kTileRows = 4;
  static constexpr int kTileVectors = 1;
  static constexpr int kValueTileRows = 4;
  static constexpr int kValueTileVectors = 1;

  template <typename Function>
  static F each(Function&& function) {
    return {{function(0), function(1), function(2), function(3)}};
  }
  static F zero() { return broadcast(0.0F); }
  static F broadcast(float x) {
    return each([&](int) { return vdupq_n_f32(x); });
  }
  static F load(const float* p) {
    return each([&](int i) { return vld1q_f32(p + 4 * i); });
  }
  static void store(float* p, F x) {
    for (int i = 0; i < 4; ++i) vst1q_f32(p + 4 * i, x.part[i]);
  }
  static F load_partial(const float* p, int n) {
    float lanes[kLanes] = {};
    for (int l = 0; l < n && l < kLanes; ++l) lanes[l] = p[l];
    return load(lanes);
  }
  static void store_partial(float* p, F x, int n) {
    float lanes[kLanes];
    store(lanes, x);
    for (int l = 0; l < n && l < kLanes; ++l) p[l] = lanes[l];
  }
  static F load_half(const std::uint16_t* p) {
    return each([&](int i) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * i))); });
  }
  static void store_half(std::uint16_t* p, F x) {
    const F bounded = min(max(x, broadcast(-kLargestHalf)), broadcast(kLargestHalf));
    for (int i = 0; i < 4; ++i) vst1_u16(p + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(bounded.part[i])));
  }
  static F load_bfloat(const std::uint16_t* p) {
    return each([&](int i) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p + 4 * i), 16)); });
  }
  static void store_bfloat(std::uint16_t* p, F x) {
    const F bounded = min(max(x, broadcast(-kLargestBfloat)), broadcast(kLargestBfloat));
    for (int i = 0; i < 4; ++i) {
      const uint32x4_t bits = vreinterpretq_u32_f32(bounded.part[i]);
      const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
      vst1_u16(p + 4 * i, vshrn_n_u32(vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7FFF)), odd), 16));
    }
  }
  static F load_int8(const std::int8_t* p) {
    const int8x16_t codes = vld1q_s8(p);
    const int16x8_t low = vmovl_s8(vget_low_s8(codes));
    const int16x8_t high = vmovl_s8(vget_high_s8(codes));
    return {{vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(low))),
             vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(high)))}};
  }
  static void store_int8(std::int8_t* p, F x) {
    const auto narrow = [&](int i) { return vmovn_s32(vcvtq_s32_f32(x.part[i])); };
    const int8x8_t low = vmovn_s16(vcombine_s16(narrow(0), narrow(1)));
    const int8x8_t high = vmovn_s16(vcombine_s16(narrow(2), narrow(3)));
    vst1q_s8(p, vcombine_s8(low, high));
  }
  static F add(F a, F b) {
    return each([&](int i) { return vaddq_f32(a.part[i], b.part[i]); });
  }
  static F sub(F a, F b) {
    return each([&](int i) { return vsubq_f32(a.part[i], b.part[i]); });
  }
  static F mul(F a, F b) {
    return each([&](int i) { return vmulq_f32(a.part[i], b.part[i]); });
  }
  static F div(F a, F b) {
    return each([&](int i) { return vdivq_f32(a.part[i], b.part[i]); });
  }
  static F fma(F a, F b, F c) {
    return each([&](int i) { return vfmaq_f32(c.part[i], a.part[i], b.part[i]); });
  }
  // Comparisons, not vmaxq: those treat NaN and zeros differently from the definition.
  static F max(F a, F b) {
    return each([&](int i) { return vbslq_f32(vcgtq_f32(a.part[i], b.part[i]), a.part[i], b.part[i]); });
  }
  static F min(F a, F b) {
    return each([&](int i) { return vbslq_f32(vcltq_f32(a.part[i], b.part[i]), a.part[i], b.part[i]); });
  }
  static F select_less(F a, F b, F x, F y) {
    return each([&](int i) { return vbslq_f32(vcltq_f32(a.part[i], b.part[i]), x.part[i], y.part[i]); });
  }
  static F first_lanes(F x, int n, float fill) {
    float lanes[kLanes];
    store(lanes, x);
    for (int l = n; l < kLanes; ++l) lanes[l] = fill;
    return load(lanes);
  }
  static F scale_by_power_of_two(F x, F n) {
    return each([&](int i) {
      const int32x4_t exponent = vshlq_n_s32(vcvtq_s32_f32(n.part[i]), 23);
      return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(x.part[i]), exponent));
    });
  }
  static float reduce_add(F x) {
    // Lanes l + (l + 8), then + 4, + 2, + 1.
    const float32x4_t four = vaddq_f32(vaddq_f32(x.part[0], x.part[2]), vaddq_f32(x.part[1], x.part[3]));
    const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
  }
  static float reduce_max(F x) {
    const F a{{x.part[0], x.part[1], x.part[0], x.part[1]}};
    const F b{{x.part[2], x.part[3], x.part[2], x.part[3]}};
    float lanes[kLanes];
    store(lanes, max(a, b));
    float best = lanes[0];
    for (int l = 1; l < 8; ++l) best = best > lanes[l] ? best : lanes[l];
    return best;
  }
};

}  // namespace mlxd
