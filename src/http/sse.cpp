#include "http/sse.h"

namespace mlxd::http {

bool SseParser::next(std::string& data) {
  for (;;) {
    const std::size_t end = buffer_.find('\n', offset_);
    if (end == std::string::npos) {
      buffer_.erase(0, offset_);
      offset_ = 0;
      return false;
    }
    std::string_view line(buffer_.data() + offset_, end - offset_);
    offset_ = end + 1;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) {
      if (!has_data_) continue;
      data = std::move(data_);
      data_.clear();
      has_data_ = false;
      return true;
    }
    if (!line.starts_with("data:")) continue;
    line.remove_prefix(5);
    if (line.starts_with(' ')) line.remove_prefix(1);
    if (has_data_) data_ += '\n';
    data_ += line;
    has_data_ = true;
  }
}

}  // namespace mlxd::http
