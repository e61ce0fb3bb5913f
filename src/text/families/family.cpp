#include "text/families/family.h"

#include <algorithm>
#include <string>

#include "base/ascii.h"
#include "text/families/family_list.h"

namespace mlxd {
namespace {

bool has_marks(const Family& family, std::string_view source) {
  return std::all_of(family.marks.begin(), family.marks.end(),
                     [&](std::string_view mark) { return source.find(mark) != std::string_view::npos; });
}

}  // namespace

const Family& find_family(std::string_view model_type, std::string_view template_source,
                          std::string_view folder_name) {
  for (const Family* family : families::kFamilies) {
    const bool named = std::find(family->model_types.begin(), family->model_types.end(), model_type) !=
                       family->model_types.end();
    if (named && (template_source.empty() || has_marks(*family, template_source))) return *family;
  }
  for (const Family* family : families::kFamilies) {
    if (!template_source.empty() && !family->marks.empty() && has_marks(*family, template_source))
      return *family;
  }
  const std::string name = to_lower(folder_name);
  for (const Family* family : families::kFamilies) {
    for (const std::string_view part : family->names) {
      if (name.find(part) != std::string::npos) return *family;
    }
  }
  return families::plain;
}

}  // namespace mlxd
