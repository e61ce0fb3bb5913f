// A probe's report as JSON, to be kept and read again. Functions.
#pragma once

#include <boost/json/object.hpp>
#include <string_view>

#include "base/result.h"
#include "workbench/probe.h"

namespace mlxd {

/// Absent findings are null.
boost::json::object probe_json(const ProbeReport& report);
/// What compare_probes looks at; other fields may be missing. Errors: kCorruptData naming the field.
Result<ProbeReport> parse_probe(std::string_view text);

}  // namespace mlxd
