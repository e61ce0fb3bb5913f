// What importing needs to know of the architectures that it imports: how their tensors are laid out in a GGUF
// and in a Hugging Face checkpoint, in the order of llama.cpp's conversion (convert_hf_to_gguf.py).
// Constants.
#pragma once

#include <string_view>

namespace mlxd {

struct GgufArchitecture {
  /// general.architecture, which also begins the keys of the metadata.
  std::string_view name;
  /// config.json's model_type, and the class in `architectures`.
  std::string_view model_type;
  std::string_view model_class;

  /// Rows of q and k are in the order in which the elements of a rotation are neighbours.
  bool interleaves_rotary = false;
  /// Queries, keys and values are one tensor (attn_qkv), and so are gate and up (ffn_up).
  bool fuses = false;
  /// attn_q_norm and attn_k_norm, one weight for each element of a head.
  bool has_head_norms = false;
  /// post_attention_norm and post_ffw_norm before the residual is added.
  bool has_post_norms = false;
  /// Norms hold w + 1.
  bool norms_hold_one_more = false;
};

/// Null for architectures that are not imported.
const GgufArchitecture* find_gguf_architecture(std::string_view name);

/// "llama, qwen2, …"
std::string_view gguf_architecture_names();

}  // namespace mlxd
