#include "catalog/download.h"

#include <array>
#include <utility>

namespace mlxd {
namespace {

constexpr std::array<std::pair<DownloadState, std::string_view>, 6> kStates = {{
    {DownloadState::kQueued, "queued"},
    {DownloadState::kRunning, "running"},
    {DownloadState::kPaused, "paused"},
    {DownloadState::kFailed, "failed"},
    {DownloadState::kCancelled, "cancelled"},
    {DownloadState::kDone, "done"},
}};

}  // namespace

std::string_view to_string(DownloadState state) {
  for (const auto& [each, name] : kStates)
    if (each == state) return name;
  return "queued";
}

std::optional<DownloadState> download_state_of(std::string_view text) {
  for (const auto& [state, name] : kStates)
    if (name == text) return state;
  return std::nullopt;
}

const std::vector<std::string>& model_file_patterns() {
  static const std::vector<std::string> kPatterns = {"*.json",
                                                     "model*.safetensors",
                                                     "weights*.safetensors",
                                                     "adapters.safetensors",
                                                     "*.py",
                                                     "tokenizer.model",
                                                     "*.tiktoken",
                                                     "tiktoken.model",
                                                     "*.txt",
                                                     "*.jsonl",
                                                     "*.jinja",
                                                     "README.md",
                                                     "LICENSE*"};
  return kPatterns;
}

}  // namespace mlxd
