#include "pointwork/log/train_line.h"

#include <gtest/gtest.h>

#include "tests/log/capture.h"

namespace pointwork {
namespace {

using test::Capture;
using test::count_of;
using test::screen;
using test::test_time;

constexpr const char* kWhole =
    "step 1200/5000  loss 3.214  val 3.301  lr 2.9e-4  |g| 0.81  18.4k tok/s  MFU 61 %  "
    "routed 12.6 %  agree 98.9 %  1.9 GiB  ETA 3 min";

TrainLine example() {
  return {.step = 1200,
          .total_steps = 5000,
          .loss = 3.214,
          .validation_loss = 3.301,
          .learning_rate = 2.9e-4,
          .grad_norm = 0.81,
          .tokens_per_second = 18400,
          .mfu = 0.61,
          .routed_share = 0.126,
          .agreement = 0.989,
          .peak_memory_bytes = 1.9 * (1 << 30),
          .eta_seconds = 175};
}

TEST(TrainLine, IsTheContractsLine) { EXPECT_EQ(train_line_text(example()), kWhole); }

TEST(TrainLine, LeavesOutWhatIsNotKnown) {
  TrainLine line{.step = 1, .loss = 9.01234, .grad_norm = 12.345, .tokens_per_second = 950};
  EXPECT_EQ(train_line_text(line), "step 1  loss 9.012  lr 0  |g| 12.35  950 tok/s");
  line.loss = NAN;
  line.grad_norm = INFINITY;
  line.agreement = NAN;
  line.mfu = 0.032;
  EXPECT_EQ(train_line_text(line), "step 1  loss nan  lr 0  |g| inf  950 tok/s  MFU 3.2 %");
}

TEST(TrainLine, HasNoEtaAfterTheLastStep) {
  TrainLine line = example();
  line.step = 5000;
  line.eta_seconds = 0;
  EXPECT_EQ(train_line_text(line).find("ETA"), std::string::npos);
}

TEST(TrainLine, DropsTheLeastTellingFirst) {
  EXPECT_EQ(train_line_text(example(), 200), kWhole);
  EXPECT_EQ(train_line_text(example(), 79),
            "step 1200/5000  loss 3.214  val 3.301  18.4k tok/s  routed 12.6 %  ETA 3 min");
  EXPECT_EQ(train_line_text(example(), 30), "step 1200/5000  loss 3.214");
  EXPECT_EQ(train_line_text(example(), 5), "step 1200/5000  loss 3.214");
}

TEST(TrainDisplay, PlainLinesEveryFewSeconds) {
  Capture capture;
  {
    TrainDisplay display(capture.plain());
    TrainLine line = example();
    for (int i = 1; i <= 90; ++i) {
      line.step = i;
      display.update(line);
      if (i == 40) display.message("saved checkpoint");
      test_time += 0.125;
    }
  }
  const std::string text = capture.text();
  EXPECT_EQ(text.find('\r'), std::string::npos);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  // Steps 1, 41 and 81 by time, 90 because it is the last.
  EXPECT_EQ(count_of(text, "\n"), 5u) << text;
  for (const char* start :
       {"step 1/5000", "\nsaved checkpoint\n", "\nstep 41/", "\nstep 81/", "\nstep 90/"}) {
    EXPECT_NE(text.find(start), std::string::npos) << start << "\n" << text;
  }
}

TEST(TrainDisplay, LiveLineStandsAboveItsBar) {
  Capture capture;
  TrainDisplay display(capture.live(160));
  TrainLine line = example();
  display.update(line);
  auto rows = screen(capture.text(), 160);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0], kWhole);
  EXPECT_EQ(rows[1].find("━━━━━━━━━─"), 0u) << rows[1];  // 24 % of 40 columns
  EXPECT_NE(rows[1].find("  24 %"), std::string::npos);

  line.step = 1201;
  test_time += 0.01;
  display.update(line);  // too soon to be drawn
  EXPECT_EQ(screen(capture.text(), 160)[0], kWhole);
  display.message("saved checkpoint step-1200");
  display.warning("skipped a step");
  test_time += 1;
  display.update(line);
  rows = screen(capture.text(), 160);
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[0], "saved checkpoint step-1200");
  EXPECT_EQ(rows[1], "skipped a step");
  EXPECT_EQ(rows[2].find("step 1201/5000  loss"), 0u);

  display.finish();
  rows = screen(capture.text(), 160);
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[2].find("step 1201/5000  loss"), 0u);
  EXPECT_EQ(capture.text().back(), '\n');
}

TEST(TrainDisplay, NarrowTerminalsNeverWrap) {
  for (int width : {20, 40, 80, 100}) {
    Capture capture;
    TrainDisplay display(capture.live(width));
    for (int i = 0; i < 40; ++i) {
      TrainLine line = example();
      line.step = i * 125;
      test_time += 0.2;
      display.update(line);
      ASSERT_EQ(screen(capture.text(), width).size(), 2u) << width;
    }
  }
}

TEST(TrainDisplay, TheLastLineIsShownAtFinish) {
  Capture capture;
  TrainDisplay display(capture.live(160));
  TrainLine line = example();
  display.update(line);
  line.step = 1203;
  display.update(line);
  display.finish();
  EXPECT_EQ(screen(capture.text(), 160)[0].find("step 1203/"), 0u);
}

TEST(TrainDisplay, QuietShowsWarningsOnly) {
  Capture capture;
  DisplayOptions options = capture.plain();
  options.quiet = true;
  TrainDisplay display(options);
  display.update(example());
  display.message("saved checkpoint");
  display.warning("the loss is not finite");
  display.finish();
  EXPECT_EQ(capture.text(), "the loss is not finite\n");
}

}  // namespace
}  // namespace pointwork
