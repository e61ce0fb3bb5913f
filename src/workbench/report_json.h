// What jobs report, as JSON: the same on the command line and from the management API. Pure functions.
#pragma once

#include <boost/json/object.hpp>
#include <vector>

#include "runtime/model_host.h"
#include "workbench/bench.h"
#include "workbench/convert_model.h"
#include "workbench/import_gguf.h"
#include "workbench/perplexity.h"

namespace mlxd {

boost::json::object report_json(const ImportReport& report);
boost::json::object report_json(const ConvertReport& report);
boost::json::object report_json(const PerplexityReport& report);
boost::json::object report_json(const BenchResult& result);
/// All of a benchmark. The first concurrency's figures stand at the top too, for those who asked for one.
boost::json::object report_json(const ModelHost& host, const BenchPlan& plan,
                                const std::vector<BenchResult>& results);

/// Tokens that went through the model for each second.
double tokens_per_s(const PerplexityReport& report);

}  // namespace mlxd
