#include "model/mixer_sizes.h"

#include <algorithm>

#include "ops/attention.h"

namespace lull {
namespace {

size_t Mamba2Channels(const Hparams& h) {
  return Size(h.ssm_inner + 2 * h.ssm_groups * h.ssm_state);
}

size_t DeltaChannels(const Hparams& h) {
  return Size((2 * h.ssm_groups + h.ssm_time_step_rank) * h.ssm_state);
}

size_t ConvChannels(const Hparams& h, Mixer mixer) {
  switch (mixer) {
    case Mixer::kAttention:
    case Mixer::kLatentAttention:
      return 0;
    case Mixer::kShortConv:
      return Size(h.embedding);
    case Mixer::kMamba:
      return Size(h.ssm_inner);
    case Mixer::kMamba2:
      return Mamba2Channels(h);
    case Mixer::kDeltaNet:
      return DeltaChannels(h);
  }
  return 0;
}

MixerSizes SizesOf(const Hparams& h, const LayerPlan& layer, bool gated_attention) {
  const size_t inner = Size(h.ssm_inner), heads = Size(h.ssm_time_step_rank);
  const size_t state = Size(h.ssm_state), q = Size(h.q_dim(layer)), n = Size(h.embedding);
  MixerSizes sizes;
  sizes.conv_channels = ConvChannels(h, layer.mixer);
  switch (layer.mixer) {
    case Mixer::kAttention:
      sizes.projected = sizes.mixed = Size(h.num_heads) * PaddedHeadDim(Size(layer.head_dim));
      sizes.keys = Size(layer.kv_heads * layer.head_dim);
      // Q and gates as they are projected, side by side.
      sizes.gate = gated_attention ? 2 * q : 0;
      break;
    case Mixer::kLatentAttention:
      sizes.projected = q;
      sizes.mixed = std::max(q, Size(h.num_heads * h.latent_value));
      sizes.keys = Size(layer.head_dim);
      sizes.gate = Size(h.num_heads * std::max(h.latent_key, h.latent_value));
      sizes.low_rank = std::max({Size(h.q_rank), Size(h.num_heads * h.kv_rank), sizes.gate});
      break;
    case Mixer::kShortConv:
      sizes.projected = 3 * n;
      sizes.mixed = n;
      break;
    case Mixer::kMamba:
      sizes.projected = 2 * inner;
      sizes.keys = heads + 2 * state;
      sizes.mixed = sizes.conv_out = sizes.dt = inner;
      sizes.low_rank = heads;
      break;
    case Mixer::kMamba2:
      sizes.projected = inner + sizes.conv_channels + heads;
      sizes.mixed = inner;
      sizes.conv_out = sizes.conv_channels;
      sizes.dt = 2 * heads;
      break;
    case Mixer::kDeltaNet:
      sizes.projected = sizes.conv_out = sizes.conv_channels;
      sizes.mixed = sizes.gate = heads * state;
      sizes.dt = 2 * heads;
      break;
  }
  return sizes;
}

}  // namespace

size_t MixerStateFloats(const Hparams& h, Mixer mixer) {
  const size_t conv = Size(h.conv_taps - 1) * ConvChannels(h, mixer);
  switch (mixer) {
    case Mixer::kAttention:
    case Mixer::kLatentAttention:
      return 0;
    case Mixer::kShortConv:
      return conv;
    case Mixer::kMamba:
    case Mixer::kMamba2:
      return conv + Size(h.ssm_inner * h.ssm_state);
    case Mixer::kDeltaNet:
      return conv + Size(h.ssm_time_step_rank * h.ssm_state * h.ssm_state);
  }
  return 0;
}

MixerSizes SizesOfMixers(const Hparams& h, bool gated_attention) {
  MixerSizes most;
  for (const LayerPlan& layer : h.layers) {
    const MixerSizes sizes = SizesOf(h, layer, gated_attention);
    for (size_t MixerSizes::*field :
         {&MixerSizes::projected, &MixerSizes::keys, &MixerSizes::mixed, &MixerSizes::conv_channels,
          &MixerSizes::conv_out, &MixerSizes::gate, &MixerSizes::dt, &MixerSizes::low_rank})
      most.*field = std::max(most.*field, sizes.*field);
  }
  return most;
}

}  // namespace lull
