// Parsers of model output are coroutines: straight-line code that waits where the text ends for now. A Task
// is one such function; it says whether the text was as its syntax wants it. TextSource is the text, and what
// runs the tasks: whoever waits for more of it goes on inside append or close.
//
// Thread rule: a source and its tasks have one owner. A task keeps references to its arguments; it is awaited
// at once, inside the full expression that makes it.
#pragma once

#include <coroutine>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace mlxd::dialects {

class [[nodiscard]] Task {
 public:
  struct promise_type;
  using Handle = std::coroutine_handle<promise_type>;

  struct promise_type {
    Task get_return_object() { return Task(Handle::from_promise(*this)); }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_value(bool value) { result = value; }
    void unhandled_exception() { throw; }  // memory only; it leaves by the way of append and close

    bool result = false;
    Handle parent = nullptr;  // waits for this task
  };

  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  Task& operator=(Task&&) = delete;
  ~Task() {
    if (handle_) handle_.destroy();
  }

  // A child runs as far as the text goes. If it has to wait, the source resumes it later, and its parent
  // after it: never one inside the other, so the stack does not grow with the text.
  bool await_ready() const {
    handle_.resume();
    return handle_.done();
  }
  void await_suspend(Handle parent) const { handle_.promise().parent = parent; }
  bool await_resume() const { return handle_.promise().result; }

  /// Begins a task that has no parent.
  void start() const { handle_.resume(); }

 private:
  explicit Task(Handle handle) : handle_(handle) {}
  Handle handle_;
};

class TextSource {
 public:
  TextSource() = default;
  TextSource(const TextSource&) = delete;
  TextSource& operator=(const TextSource&) = delete;

  void append(std::string_view text) {
    buffer_.append(text);
    resume();
  }
  /// No more text comes.
  void close() {
    closed_ = true;
    resume();
  }

  std::string_view rest() const { return std::string_view(buffer_).substr(position_); }
  bool closed() const { return closed_; }
  /// Whether a task, since the last `keep`, wanted text beyond the end.
  bool ran_out() const { return ran_out_; }
  void run_out() { ran_out_ = true; }
  void take(std::size_t count) {
    position_ += count;
    if (keeps_ || position_ < kCompactBytes) return;
    buffer_.erase(0, position_);
    position_ = 0;
  }

  // From `keep` until `let_go` the text taken can be had again.
  void keep() {
    let_go();
    buffer_.erase(0, position_);
    position_ = 0;
    keeps_ = true;
    ran_out_ = false;
  }
  void let_go() { keeps_ = false; }
  std::size_t kept_bytes() const { return keeps_ ? position_ : 0; }
  std::string_view kept() const { return std::string_view(buffer_).substr(0, position_); }

  /// co_await source.more(n): true once n bytes are there, false if the text ends before.
  struct More {
    TextSource& source;
    std::size_t count;
    bool there() const { return source.rest().size() >= count; }
    bool await_ready() const { return there() || source.closed_; }
    void await_suspend(Task::Handle waiting) const {
      source.waiting_ = waiting;
      source.wanted_ = count;
    }
    bool await_resume() const {
      if (!there()) source.run_out();
      return there();
    }
  };
  More more(std::size_t count) { return {*this, count}; }

 private:
  static constexpr std::size_t kCompactBytes = 4096;

  void resume() {
    while (waiting_ && (closed_ || rest().size() >= wanted_)) {
      for (Task::Handle task = std::exchange(waiting_, nullptr); task && !waiting_;
           task = task.promise().parent) {
        task.resume();
        if (waiting_) break;
      }
    }
  }

  std::string buffer_;
  std::size_t position_ = 0;
  bool keeps_ = false;
  bool closed_ = false;
  bool ran_out_ = false;
  Task::Handle waiting_ = nullptr;
  std::size_t wanted_ = 0;
};

}  // namespace mlxd::dialects
