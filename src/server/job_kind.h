// What a kind of job is: one row of a table (job_kinds.h) with its parameters, what is checked before it is
// taken, and how it runs. Adding a kind touches that table and no other file. Values.
#pragma once

#include <atomic>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "server/caller.h"

namespace mlxd {

struct JobParameter {
  enum class Type {
    kText,      // `min` … `max` bytes; one of `choices`, if there are any
    kLongText,  // the same, and too long for lists: at most one a kind; it comes as JobWish::input
    kInteger,   // `min` … `max`
    kIntegers,  // one or more, each `min` … `max`
    kBoolean,
  };
  std::string_view name;
  Type type = Type::kText;
  std::string_view about = {};  // for people
  bool required = false;
  std::int64_t min = 0;
  std::int64_t max = 1024;
  std::vector<std::string_view> choices = {};
  /// Where the wish says nothing; null: it stays absent.
  boost::json::value otherwise = nullptr;
};
/// "text", "long_text", "integer", "integers", "boolean".
std::string_view to_string(JobParameter::Type type);

/// What somebody wants of a kind.
struct JobWish {
  boost::json::object parameters;  // as read_job_parameters leaves them
  std::string input = {};          // the long text

  /// Empty if absent.
  std::string text(std::string_view name) const;
  std::int64_t integer(std::string_view name, std::int64_t otherwise = 0) const;
  bool boolean(std::string_view name) const;
  bool has(std::string_view name) const { return parameters.contains(name); }
};

/// What a job that runs tells, and whether it is to stop. Thread-safe.
class JobRun {
 public:
  virtual ~JobRun() = default;
  /// What it does now: "reading", "writing"; a word or two.
  virtual void enter(std::string_view step) = 0;
  virtual void progress(double fraction) = 0;  // 0 … 1, of all of it
  /// A line for the log; there should be some tens, not thousands.
  virtual void log(const std::string& line) = 0;
  /// The job should end with kCancelled within a second or so of its being set.
  virtual const std::atomic<bool>& stop() const = 0;
};

struct JobKind {
  std::string_view name;
  std::string_view about;
  /// What changes the models that all have is an administrator's.
  bool admin_only = false;
  std::vector<JobParameter> parameters;
  /// What is wrong with a wish, before it is taken: names, space, rights. Errors as the route answers them.
  std::function<Result<void>(const JobWish& wish, const Caller& caller)> check;
  /// The folder of models that the job makes, by name, which no other job may make meanwhile; empty: none.
  std::function<std::string(const JobWish& wish)> output;
  /// The result. On the job's thread, whose priority is low. Errors say why there is none.
  std::function<Result<boost::json::object>(const JobWish& wish, JobRun& run)> run;
};

/// `given` as the kind wants it: types and ranges checked, defaults filled in, the long text taken out.
/// Errors name the field, as "parameters.NAME".
Result<JobWish> read_job_parameters(const JobKind& kind, const boost::json::object& given);
/// The kind and its parameters, for people who fill in a form.
boost::json::object job_kind_json(const JobKind& kind);

}  // namespace mlxd
