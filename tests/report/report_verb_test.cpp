#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "pointwork/files/file.h"
#include "tests/report/run_files.h"
#include "tests/support/data.h"
#include "tests/support/program.h"

namespace pointwork::test {
namespace {

TEST(ReportVerb, WritesThePageAndDoesNotOverwriteIt) {
  const TemporaryFolder folder;
  write_run(folder / "mod", {.name = "mod"});
  const std::string page = folder / "page.html";
  const auto run = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments = {"report", folder / "mod", "--out", page};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program(arguments);
  };
  const ProgramResult first = run({"--json"});
  ASSERT_EQ(first.status, 0) << first.err;
  EXPECT_EQ(nlohmann::json::parse(first.out)["out"], page);
  const std::string content = read_file(page);
  EXPECT_EQ(content.compare(0, 15, "<!doctype html>"), 0);

  const ProgramResult second = run({});
  EXPECT_EQ(second.status, 1);
  EXPECT_NE(second.err.find("exists already"), std::string::npos) << second.err;
  EXPECT_EQ(run({"--force", "--quiet"}).status, 0);

  put(folder / "mod/run.json", "{");
  const ProgramResult damaged = run({"--force"});
  EXPECT_EQ(damaged.status, 1);
  EXPECT_NE(damaged.err.find("run.json: not JSON"), std::string::npos) << damaged.err;
  EXPECT_EQ(read_file(page), content);
  EXPECT_EQ(run_program({"report"}).status, 2);
}

}  // namespace
}  // namespace pointwork::test
