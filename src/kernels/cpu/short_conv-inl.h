// Depthwise causal convolution over the last `taps` inputs of every channel.
namespace lull::LULL_ISA {

void ShortConv(const float* window, const float* weight, size_t taps, size_t n, float* out) {
  for (size_t c = 0; c < n; c += 16) {
    const size_t count = n - c < 16 ? n - c : 16;
    F32 acc = ZeroF32();
    for (size_t t = 0; t < taps; ++t) {
      float w[16] = {};
      for (size_t i = 0; i < count; ++i) w[i] = weight[(c + i) * taps + t];
      acc = Fma(LoadF32(w), LoadF32Partial(window + t * n + c, count), acc);
    }
    StoreF32Partial(out + c, acc, count);
  }
}

}  // namespace lull::LULL_ISA
