// A plain text table: left-aligned words, right-aligned numbers, two spaces between columns. One owner.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mlxd::cli {

class Table {
 public:
  struct Column {
    std::string title;
    bool right = false;  // align to the right
  };
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  /// One cell per column.
  void add_row(std::vector<std::string> cells);
  /// Title line and rows, each ending in a newline, no trailing spaces. Widths count characters, not bytes.
  std::string to_string() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

/// Characters of a UTF-8 string (its code points).
std::size_t count_characters(std::string_view text);

}  // namespace mlxd::cli
