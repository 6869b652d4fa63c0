#include "pointwork/log/progress.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/log/capture.h"

namespace pointwork {
namespace {

using test::Capture;
using test::count_of;
using test::screen;
using test::test_time;

TEST(Progress, ShortWorkIsSilentWithoutATerminal) {
  Capture capture;
  Progress progress("reading", 100, "B", capture.plain());
  for (int i = 1; i <= 100; ++i) {
    test_time += 0.019;
    progress.update(i);
  }
  progress.finish();
  EXPECT_EQ(capture.text(), "");
}

TEST(Progress, PlainLinesComeSeldom) {
  Capture capture;
  Progress progress("evaluating", 1000, "sequences", capture.plain());
  for (int i = 1; i <= 1000; ++i) {
    test_time += 0.0201;
    progress.update(i, "half a note");
  }
  progress.finish();
  progress.finish();
  const std::string text = capture.text();
  EXPECT_EQ(text.find('\r'), std::string::npos);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  // After 2, 7, 12 and 17 of 20.1 seconds, and the end.
  EXPECT_EQ(count_of(text, "\n"), 5u) << text;
  EXPECT_EQ(text.substr(0, text.find('\n')),
            "evaluating  10 %  100/1.00k sequences  49.8 sequences/s  ETA 18 s  half a note");
  EXPECT_NE(text.find("evaluating  1.00k sequences in 20 s  49.8 sequences/s\n"), std::string::npos)
      << text;
}

TEST(Progress, LiveLineIsRewrittenAtMostTenTimesASecond) {
  Capture capture;
  Progress progress("reading", 1 << 20, "B", capture.live(80));
  for (int i = 1; i <= 1024; ++i) {
    test_time += 0.001;
    progress.update(i * 1024);
  }
  EXPECT_GE(count_of(capture.text(), "\r"), 9u);
  EXPECT_LE(count_of(capture.text(), "\r"), 11u);
  auto rows = screen(capture.text(), 80);
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_NE(rows[0].find("━━━"), std::string::npos);
  EXPECT_LE(display_width(rows[0]), 79);
  progress.finish();
  rows = screen(capture.text(), 80);
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0], "reading  1.0 MiB in 1.0 s  1000 KiB/s");
}

TEST(Progress, NarrowTerminalNeverWraps) {
  for (int width : {20, 33, 47, 60, 120}) {
    Capture capture;
    Progress progress("reading 漢字 and more", 5000, "documents", capture.live(width));
    for (int i = 0; i < 50; ++i) {
      test_time += 0.2;
      progress.update(i * 100, "some/very/long/file/name.jsonl.zst");
      ASSERT_EQ(screen(capture.text(), width).size(), 1u) << width;
    }
  }
}

TEST(Progress, TheNoteGivesWayToTheBar) {
  for (int width : {80, 140}) {
    Capture capture;
    Progress progress("reading corpus", 4800000, "B", capture.live(width));
    test_time += 1;
    progress.update(1000000, "file-1.txt");
    const std::string row = screen(capture.text(), width)[0];
    EXPECT_EQ(row.find("file-1.txt") != std::string::npos, width == 140) << row;
    EXPECT_GE(count_of(row, "━") + count_of(row, "─"), 10u) << row;
  }
}

TEST(Progress, MessagesGoAboveTheBar) {
  Capture capture;
  Progress progress("reading", 10, "files", capture.live(60));
  progress.update(3);
  progress.message("skipped a file:\nit is empty");
  auto rows = screen(capture.text(), 60);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0], "skipped a file: it is empty");
  EXPECT_EQ(rows[1].find("reading"), 0u);
}

TEST(Progress, ABarIsRemovedWhereAnErrorUnwinds) {
  Capture capture;
  {
    Progress progress("reading", 10, "files", capture.live(60));
    progress.update(3);
  }
  EXPECT_EQ(screen(capture.text(), 60), std::vector<std::string>{""});
}

TEST(Progress, QuietSaysNothingButMessages) {
  Capture capture;
  DisplayOptions options = capture.live(60);
  options.quiet = true;
  Progress progress("reading", 10, "files", options);
  test_time += 60;
  progress.update(3);
  progress.finish();
  EXPECT_EQ(capture.text(), "");
  progress.message("careful");
  EXPECT_EQ(capture.text(), "careful\n");
}

TEST(Progress, UnknownTotalHasNeitherBarNorEta) {
  Capture capture;
  Progress progress("reading", 0, "lines", capture.live(80));
  test_time += 1;
  progress.update(4200);
  EXPECT_EQ(screen(capture.text(), 80)[0], "reading  4.20k lines  4.20k lines/s  1.0 s");
}

TEST(Progress, RateFollowsAChangeOfPace) {
  Capture capture;
  Progress progress("x", 1000000, "u", capture.live(120));
  int64_t done = 0;
  for (int i = 0; i < 600; ++i) {  // a minute at 1000 a second
    test_time += 0.1;
    progress.update(done += 100);
  }
  EXPECT_NE(screen(capture.text(), 120)[0].find("1.00k u/s"), std::string::npos);
  for (int i = 0; i < 600; ++i) {  // a minute at 100 a second
    test_time += 0.1;
    progress.update(done += 10);
  }
  EXPECT_NE(screen(capture.text(), 120)[0].find("  102 u/s"), std::string::npos)
      << screen(capture.text(), 120)[0];
}

TEST(Progress, HundredPercentMeansDone) {
  Capture capture;
  Progress progress("x", 1000, "u", capture.live(80));
  test_time += 1;
  progress.update(999);
  EXPECT_NE(screen(capture.text(), 80)[0].find("99 %"), std::string::npos);
}

TEST(Progress, UpdatesMayComeFromThreads) {
  Capture capture;
  DisplayOptions options = capture.live(80);
  options.now = nullptr;
  Progress progress("x", 1000, "u", options);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) progress.update(i);
    });
  }
  for (auto& thread : threads) thread.join();
  progress.finish();
  EXPECT_EQ(screen(capture.text(), 80).size(), 1u);
}

}  // namespace
}  // namespace pointwork
