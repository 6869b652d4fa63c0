// SIGKILL at any moment, saves among them, costs nothing but the steps since the last save.

#include "pointwork/base/rng.h"
#include "tests/train/runs.h"

namespace pointwork::test {
namespace {

constexpr int kKills = 24;
const Words kKillable = {"--train.steps=400", "--checkpoint.every=2", "--evaluate.every=40",
                         "--evaluate.sequences=2", "--checkpoint.keep_last=2"};

bool saving(const fs::path& run) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(run / "checkpoints", error)) {
    if (entry.path().filename().string().find(".tmp") != std::string::npos) return true;
  }
  return false;
}

double uniform(double most, uint64_t draw) {
  return most * random_uniform(stream_key(1, "moments of death"), draw);
}

TEST_F(RunTest, KilledAtAnyMomentItEndsWithTheSameBits) {
  must(train(out("straight"), kKillable));

  int killed = 0, half_saved = 0, early = 0;
  for (uint64_t round = 0; killed < kKills; ++round) {
    ASSERT_LT(round, 4u * kKills);
    // In turn: at any time from the start of the process; some time after its first step; and
    // within a save, the first or a later one.
    const auto kind = round % 3;
    const double wait = kind == 0 ? uniform(1.0, round) : uniform(0.1, round);
    const size_t before = lines_in(out() / "metrics.jsonl");
    double stepped = -1, seen = 0;
    const ProgramOptions options{
        .environment = {}, .watch = [&](int process, double seconds) {
          const bool moved =
              stepped >= 0 || (kind > 0 && lines_in(out() / "metrics.jsonl") != before);
          if (moved && stepped < 0) stepped = seconds;
          const bool late = moved && seconds - stepped >= wait;
          if (kind == 0 ? seconds >= wait : kind == 1 ? late : late && saving(out())) {
            kill(process, SIGKILL);
            seen = seconds;
          }
        }};
    const ProgramResult result = run_program(train(out(), kKillable), options);
    if (result.status == 0) break;
    ASSERT_EQ(result.status, 128 + SIGKILL) << result.err;
    ++killed;
    half_saved += saving(out());
    early += stepped < 0;
    // Whatever stands under a step's name is whole.
    for (const int64_t step : list_steps(out() / "checkpoints")) {
      const ManifestReport report = verify_manifest(step_folder(out() / "checkpoints", step));
      EXPECT_TRUE(report.problems.empty()) << step << ": " << report.problems.front();
    }
  }
  std::printf("%d kills: %d within a save, %d before the first step of a process\n", killed,
              half_saved, early);
  EXPECT_EQ(killed, kKills);
  EXPECT_GE(half_saved, 4);
  EXPECT_LT(list_steps(out() / "checkpoints").back(), 400) << "it ended before the last kill";

  must(train(out(), kKillable));
  expect_same_end(out(), out("straight"));
  expect_sound(out());
}

}  // namespace
}  // namespace pointwork::test
