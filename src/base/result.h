// Result<T>: a value or an Error. Expected failures travel in it; nothing in this program throws on purpose.
//
//   Result<File> open(...);
//   auto file = TRY(open(path));      // in a function that itself returns Result<U>
//
// TRY is a statement expression (GCC, Clang); do not use it across co_await.
#pragma once

#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "base/check.h"
#include "base/error.h"

namespace mlxd {

template <typename T>
class [[nodiscard]] Result {
  static_assert(!std::is_reference_v<T>, "hold a pointer instead");

 public:
  // Implicit on purpose: `return value;` and `return not_found(...);` are the point.
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}
  template <typename U>
  requires(std::is_convertible_v<U&&, T> && !std::is_same_v<std::remove_cvref_t<U>, Result> &&
           !std::is_same_v<std::remove_cvref_t<U>, Error> && !std::is_same_v<std::remove_cvref_t<U>, T>)
      Result(U&& value)
      : state_(std::in_place_index<0>, std::forward<U>(value)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value() & {
    CHECK(ok());
    return *std::get_if<0>(&state_);
  }
  const T& value() const& {
    CHECK(ok());
    return *std::get_if<0>(&state_);
  }
  T&& value() && { return take_value(); }
  T&& take_value() {
    CHECK(ok());
    return std::move(*std::get_if<0>(&state_));
  }
  T& operator*() { return value(); }
  const T& operator*() const { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  const Error& error() const {
    CHECK(!ok());
    return *std::get_if<1>(&state_);
  }
  Error take_error() {
    CHECK(!ok());
    return std::move(*std::get_if<1>(&state_));
  }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  void value() const { CHECK(ok()); }
  void take_value() const { CHECK(ok()); }

  const Error& error() const {
    CHECK(!ok());
    return *error_;
  }
  Error take_error() {
    CHECK(!ok());
    return std::move(*error_);
  }

 private:
  std::optional<Error> error_;
};

}  // namespace mlxd

/// Evaluates to the value of a Result, or returns its error from the enclosing function. Not for an element
/// of a braced list behind one that owns memory: GCC does not destroy what the list has by then.
#define TRY(expression)                                                                                \
  __extension__({                                                                                      \
    _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wshadow\"") auto&& try_result_ = \
        (expression);                                                                                  \
    _Pragma("GCC diagnostic pop") if (!try_result_.ok()) return try_result_.take_error();              \
    try_result_.take_value();                                                                          \
  })
