#include "apps/against.h"

#include <algorithm>
#include <cstdio>

#include "pointwork/base/check.h"
#include "pointwork/base/printable.h"
#include "pointwork/checkpoint/compare.h"
#include "pointwork/files/steps.h"

namespace pointwork::app {
namespace {

namespace fs = std::filesystem;

constexpr size_t kShown = 12;

WeightFiles weights_at(const fs::path& path) {
  std::error_code error;
  check(fs::exists(path, error), path.string(), ": no such file or folder");
  if (!fs::is_directory(path / "checkpoints", error)) return WeightFiles(path);
  const auto step = newest_valid_step(path / "checkpoints", note);
  check(step.has_value(), "run ", path.string(), " has no valid checkpoint");
  return WeightFiles(step_folder(path / "checkpoints", *step));
}

std::string counted(size_t count, const std::string& what) {
  return concat(count, " ", what, count == 1 ? "" : "s");
}

// What differs, in few words.
std::vector<std::string> problems_of(const WeightComparison& found) {
  std::vector<std::string> problems;
  const char* const which[] = {"first", "second"};
  for (size_t side : {0, 1}) {
    if (!found.only[side].empty())
      problems.push_back(counted(found.only[side].size(), "tensor") + " only in the " +
                         which[side] + ", like '" + printable(found.only[side].front()) + "'");
  }
  for (const TensorDifference& one : found.differing) {
    if (one.shape[0] == one.shape[1]) continue;
    problems.push_back("tensor '" + printable(one.name) + "' has another shape");
    break;
  }
  const auto worst = std::find_if(found.differing.begin(), found.differing.end(),
                                  [](const TensorDifference& one) { return one.compared; });
  if (worst != found.differing.end() && worst->largest > 0) {
    char size[32];
    std::snprintf(size, sizeof size, "%.3g", worst->largest);
    problems.push_back(
        concat("values differ by up to ", size, ", in tensor '", printable(worst->name), "'"));
  }
  if (problems.empty() && !found.differing.empty())
    problems.push_back(counted(found.differing.size(), "tensor") + " of another dtype, like '" +
                       printable(found.differing.front().name) + "'");
  return problems;
}

Json to_json(const TensorDifference& one) {
  const auto both = [](const auto& pair) { return Json{pair[0], pair[1]}; };
  Json json = {{"name", one.name}, {"dtype", both(one.dtype)}, {"shape", both(one.shape)}};
  if (!one.compared) return json;
  json["elements"] = one.elements;
  json["differing"] = one.differing;
  json["largest_difference"] = to_json_value(one.largest);
  json["largest_relative_difference"] = to_json_value(one.relative);
  return json;
}

void print_names(const char* title, const std::vector<std::string>& names) {
  if (names.empty()) return;
  std::printf("  %s  %zu\n", title, names.size());
  for (size_t i = 0; i < std::min(names.size(), kShown); ++i)
    std::printf("    %s\n", printable(names[i]).c_str());
  if (names.size() > kShown)
    std::printf("    ... and %zu more (--json lists all)\n", names.size() - kShown);
}

std::string once(const std::string& first, const std::string& second) {
  return first == second ? first : first + " / " + second;
}

void print_differences(const std::vector<TensorDifference>& all) {
  if (all.empty()) return;
  std::printf("  %-48s %-11s %-20s %9s %10s %10s\n", "differing, largest first", "dtype", "shape",
              "elements", "largest", "relative");
  for (size_t i = 0; i < std::min(all.size(), kShown); ++i) {
    const TensorDifference& one = all[i];
    std::printf("    %-46s %-11s %-20s", printable(one.name).c_str(),
                once(one.dtype[0], one.dtype[1]).c_str(),
                once(Json(one.shape[0]).dump(), Json(one.shape[1]).dump()).c_str());
    if (one.compared) {
      const double share = static_cast<double>(one.differing) /
                           static_cast<double>(std::max<int64_t>(one.elements, 1));
      std::printf(" %7.2f %% %10.3g %10.3g\n", 100 * share, one.largest, one.relative);
    } else {
      std::printf("\n");
    }
  }
  if (all.size() > kShown)
    std::printf("    ... and %zu more (--json lists all)\n", all.size() - kShown);
}

}  // namespace

int inspect_against(const std::string& first, const std::string& second, const Common& common) {
  const WeightComparison found = compare_weights(weights_at(first), weights_at(second));
  const std::vector<std::string> problems = problems_of(found);
  const Json failure =
      found.same() ? Json() : failure_of("inspect", first + " and " + second + " differ", problems);
  if (common.json) {
    Json json = {{"kind", "comparison"}, {"valid", found.same()}, {"problems", problems}};
    if (!found.same()) json["error"] = failure;
    json["only_in_first"] = found.only[0];
    json["only_in_second"] = found.only[1];
    json["equal"] = found.equal;
    json["differing"] = Json::array();
    for (const TensorDifference& one : found.differing) json["differing"].push_back(to_json(one));
    print_json(json);
  } else {
    std::printf("%s against %s: %s\n", first.c_str(), second.c_str(),
                found.same() ? "the same" : "they differ");
    std::printf("  equal  %lld\n", static_cast<long long>(found.equal));
    print_names("only in the first", found.only[0]);
    print_names("only in the second", found.only[1]);
    print_differences(found.differing);
  }
  return found.same() ? 0 : report_problems(failure);
}

}  // namespace pointwork::app
