#include "pointwork/log/metrics.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cmath>
#include <csignal>

#include "pointwork/base/check.h"
#include "pointwork/files/file.h"
#include "tests/support/data.h"

namespace pointwork {
namespace {

using Json = nlohmann::ordered_json;

std::string message_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Metrics, LinesKeepTheirOrderAndAreThereAtOnce) {
  test::TemporaryFolder folder;
  MetricsFile file(folder / "metrics.jsonl");
  EXPECT_FALSE(std::filesystem::exists(folder / "metrics.jsonl"));
  file.append({{"step", 1}, {"loss", 2.5}, {"a", NAN}, {"text", "\xFF\n"}});
  EXPECT_EQ(read_file(folder / "metrics.jsonl"),
            "{\"step\":1,\"loss\":2.5,\"a\":null,\"text\":\"\xEF\xBF\xBD\\n\"}\n");
  file.append({{"step", 2}});
  const auto lines = read_metrics(folder / "metrics.jsonl");
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[1].at("step"), 2);
  EXPECT_THROW(file.append(Json::array()), Error);
}

TEST(Metrics, ResumeDropsLaterStepsAndATornLine) {
  test::TemporaryFolder folder;
  const auto path = folder / "metrics.jsonl";
  write_file(path, "{\"note\": 1}\n{\"step\":1}\n{\"step\":2,  \"x\":1}\n{\"step\":3}\n{\"st");
  MetricsFile file(path);
  file.resume_at(2);
  EXPECT_EQ(read_file(path), "{\"note\": 1}\n{\"step\":1}\n{\"step\":2,  \"x\":1}\n");
  file.append({{"step", 3}});
  file.resume_at(1);
  file.append({{"step", 2}});
  EXPECT_EQ(read_file(path), "{\"note\": 1}\n{\"step\":1}\n{\"step\":2}\n");
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    EXPECT_EQ(entry.path(), path);
  }
}

TEST(Metrics, EveryTearLeavesTheWholeLines) {
  test::TemporaryFolder folder;
  const auto path = folder / "metrics.jsonl";
  const std::string first = "{\"step\":1,\"loss\":2.5}\n", second = "{\"step\":2,\"loss\":1.5}\n";
  const std::string all = first + second;
  for (size_t cut = 0; cut <= all.size(); ++cut) {
    write_file(path, all.substr(0, cut));
    const size_t whole = (cut + 1 >= first.size()) + (cut + 1 >= all.size());
    EXPECT_EQ(read_metrics(path).size(), whole) << cut;
    MetricsFile file(path);
    file.append({{"step", 9}});
    const std::string kept = all.substr(0, whole == 0 ? 0 : whole == 1 ? first.size() : all.size());
    EXPECT_EQ(read_file(path), kept + "{\"step\":9}\n") << cut;
  }
}

TEST(Metrics, DamageElsewhereIsNamed) {
  test::TemporaryFolder folder;
  const auto path = folder / "metrics.jsonl";
  for (const std::string content : {"{\"step\":1}\n{\"st\n{\"step\":3}\n", "{\"step\":1}\n[2]\n"}) {
    write_file(path, content);
    const std::string expected =
        path.string() + " line 2: expected a JSON object; mend or remove the line";
    EXPECT_EQ(message_of([&] { read_metrics(path); }), expected);
    MetricsFile file(path);
    EXPECT_EQ(message_of([&] { file.resume_at(1); }), expected);
    EXPECT_EQ(message_of([&] { file.append({{"step", 4}}); }), expected);
    EXPECT_EQ(read_file(path), content);
  }
}

TEST(Metrics, MissingIsFineForAResumeAndNotForAReader) {
  test::TemporaryFolder folder;
  MetricsFile file(folder / "metrics.jsonl");
  file.resume_at(7);
  EXPECT_FALSE(std::filesystem::exists(folder / "metrics.jsonl"));
  EXPECT_THROW(read_metrics(folder / "metrics.jsonl"), Error);
  MetricsFile nowhere(folder / "none/metrics.jsonl");
  EXPECT_NE(message_of([&] {
              nowhere.append({{"step", 1}});
            }).find("No such file"),
            std::string::npos);
}

TEST(Metrics, AFullDiskLeavesWholeLines) {
  test::TemporaryFolder folder;
  const auto path = folder / "metrics.jsonl";
  MetricsFile file(path);
  file.append({{"step", 1}});
  const std::string before = read_file(path);
  rlimit old{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit tight{.rlim_cur = 20, .rlim_max = old.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &tight), 0);
  const std::string message = message_of([&] { file.append({{"step", 2}, {"loss", 1.5}}); });
  setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(message, "cannot write " + path.string() + ": File too large");
  EXPECT_EQ(read_file(path), before);
  file.append({{"step", 2}});
  EXPECT_EQ(read_metrics(path).size(), 2u);
}

}  // namespace
}  // namespace pointwork
