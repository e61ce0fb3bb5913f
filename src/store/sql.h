// Statements within a transaction of Database. Private to store/: everything here throws SQLite::Exception,
// which Database::write and read turn into errors.
#pragma once

#include <SQLiteCpp/Column.h>
#include <SQLiteCpp/Database.h>
#include <SQLiteCpp/Statement.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace mlxd {

/// The current row of a query; columns count from 0.
class Row {
 public:
  explicit Row(SQLite::Statement& statement) : statement_(statement) {}
  bool is_null(int column) const { return statement_.getColumn(column).isNull(); }
  std::int64_t integer(int column) const { return statement_.getColumn(column).getInt64(); }
  bool boolean(int column) const { return integer(column) != 0; }
  double number(int column) const { return statement_.getColumn(column).getDouble(); }
  /// Empty for NULL.
  std::string text(int column) const { return statement_.getColumn(column).getString(); }
  std::optional<std::int64_t> maybe_integer(int column) const {
    return is_null(column) ? std::nullopt : std::optional(integer(column));
  }

 private:
  SQLite::Statement& statement_;
};

class Sql {
 public:
  explicit Sql(SQLite::Database& database) : database_(database) {}

  /// Runs one statement with its `?`s bound in order; returns how many rows it changed.
  template <typename... Values>
  int execute(const char* text, const Values&... values) {
    SQLite::Statement statement(database_, text);
    bind_all(statement, values...);
    // A PRAGMA gives rows.
    while (statement.executeStep()) {
    }
    return database_.getChanges();
  }

  /// What `make` makes of each row.
  template <typename Make, typename... Values>
  std::vector<std::invoke_result_t<Make, const Row&>> list(const char* text, Make make,
                                                           const Values&... values) {
    SQLite::Statement statement(database_, text);
    bind_all(statement, values...);
    std::vector<std::invoke_result_t<Make, const Row&>> made;
    while (statement.executeStep()) made.push_back(make(Row(statement)));
    return made;
  }

  /// The first row, if there is one.
  template <typename Make, typename... Values>
  std::optional<std::invoke_result_t<Make, const Row&>> first(const char* text, Make make,
                                                              const Values&... values) {
    SQLite::Statement statement(database_, text);
    bind_all(statement, values...);
    if (!statement.executeStep()) return std::nullopt;
    return make(Row(statement));
  }

  /// A number such as COUNT(*) gives; 0 without a row.
  template <typename... Values>
  std::int64_t number(const char* text, const Values&... values) {
    const auto found = first(
        text, [](const Row& row) { return row.integer(0); }, values...);
    return found ? *found : 0;
  }

 private:
  using Statement = SQLite::Statement;
  static void bind(Statement& to, int index, std::int64_t value) { to.bind(index, value); }
  static void bind(Statement& to, int index, int value) { to.bind(index, value); }
  static void bind(Statement& to, int index, bool value) { to.bind(index, value ? 1 : 0); }
  static void bind(Statement& to, int index, double value) { to.bind(index, value); }
  static void bind(Statement& to, int index, const std::string& value) { to.bind(index, value); }
  static void bind(Statement& to, int index, std::string_view value) { to.bind(index, std::string(value)); }
  static void bind(Statement& to, int index, const char* value) { to.bind(index, value); }
  template <typename T>
  static void bind(Statement& to, int index, const std::optional<T>& value) {
    if (value)
      bind(to, index, *value);
    else
      to.bind(index);
  }
  template <typename... Values>
  static void bind_all(Statement& to, const Values&... values) {
    [[maybe_unused]] int index = 0;
    (bind(to, ++index, values), ...);
  }

  SQLite::Database& database_;
};

}  // namespace mlxd
