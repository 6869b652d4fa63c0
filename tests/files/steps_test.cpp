#include "pointwork/files/steps.h"

#include "pointwork/files/manifest.h"
#include "tests/files/cases.h"

namespace pointwork::test {
namespace {

void save(const fs::path& checkpoints, int64_t step) {
  const fs::path at = step_folder(checkpoints, step);
  fs::create_directories(at);
  put(at / "weights", concat("weights of step ", step));
  write_manifest(at, {{"step", step}});
}

class Steps : public testing::Test {
 protected:
  fs::path at() const { return folder_.path(); }
  void save_all(const std::vector<int64_t>& steps) {
    for (const int64_t step : steps) save(at(), step);
  }
  std::vector<int64_t> kept() const { return list_steps(at()); }

  std::optional<int64_t> newest() {
    rejected_.clear();
    return newest_valid_step(at(), [&](const std::string& why) { rejected_.push_back(why); });
  }

  TemporaryFolder folder_;
  Strings rejected_;
};

using Numbers = std::vector<int64_t>;

TEST_F(Steps, AreListedByNumber) {
  save_all({9, 100, 20, 0});
  EXPECT_EQ(step_folder("c", 20), fs::path("c/step-20"));
  EXPECT_EQ(kept(), (Numbers{0, 9, 20, 100}));
  EXPECT_EQ(list_steps(at() / "absent"), Numbers{});
  EXPECT_EQ(list_steps(at() / "step-9/weights"), Numbers{});
}

TEST_F(Steps, AreFoldersOfExactlyThatName) {
  for (const char* name :
       {"step-", "step-x", "step--1", "step-1x", "step-07", "step-+7", "step- 7",
        "step-9223372036854775808", "step-7.tmp-12", "step-7.old-12", "Step-7", "7", "xstep-7"})
    fs::create_directory(at() / name);
  put(at() / "step-5", "a file");
  EXPECT_EQ(kept(), Numbers{});
  fs::create_directory(at() / "step-9223372036854775807");
  EXPECT_EQ(kept(), Numbers{INT64_MAX});
}

TEST_F(Steps, NewestIsTheNewest) {
  EXPECT_EQ(newest(), std::nullopt);
  save_all({1, 2, 10});
  EXPECT_EQ(newest(), 10);
  EXPECT_EQ(rejected_, Strings{});
  EXPECT_EQ(newest_valid_step(at(), nullptr), 10);
}

TEST_F(Steps, NewestPassesOverWhatIsDamagedAndSaysWhy) {
  save_all({1, 2, 3, 4, 5, 6});
  put(at() / "step-6/weights", "weights of step 7");  // a flipped bit
  put(at() / "step-5/weights", "weights of");         // cut short
  fs::remove(at() / "step-4/weights");                // a file missing
  fs::remove(at() / "step-3/manifest.json");          // killed before its end
  fs::remove_all(at() / "step-2");                    // another step's folder
  fs::copy(at() / "step-1", at() / "step-2");
  EXPECT_EQ(newest(), 1);
  const std::string here = at().string() + "/step-";
  EXPECT_EQ(rejected_,
            (Strings{here + "6 is passed over: weights is damaged: its content does not have the "
                            "hash it was saved with",
                     here + "5 is passed over: weights has 10 bytes, must have 17",
                     here + "4 is passed over: weights is missing",
                     here + "3 is passed over: manifest.json is missing",
                     here + "2 is passed over: it holds step 1"}));
  put(at() / "step-1/more", "");
  EXPECT_EQ(newest(), std::nullopt);
  EXPECT_EQ(rejected_.size(), 6u - 1 + 1);
}

// Files of two steps in one folder, each whole.
TEST_F(Steps, NewestPassesOverMixedSteps) {
  save_all({1, 2});
  fs::copy(at() / "step-1/weights", at() / "step-2/weights", fs::copy_options::overwrite_existing);
  EXPECT_EQ(newest(), 1);
}

TEST_F(Steps, PruneKeepsTheLastAndTheMultiples) {
  const Numbers all = {0, 5, 10, 15, 20, 25, 30};
  save_all(all);
  prune_steps(at(), {.keep_last = 10});
  EXPECT_EQ(kept(), all);
  prune_steps(at(), {.keep_last = 7});
  EXPECT_EQ(kept(), all);
  prune_steps(at(), {.keep_last = 2, .keep_every = 10});
  EXPECT_EQ(kept(), (Numbers{0, 10, 20, 25, 30}));
  prune_steps(at(), {.keep_last = 1, .keep_every = 20});
  EXPECT_EQ(kept(), (Numbers{0, 20, 30}));
  prune_steps(at(), {.keep_last = 1});
  EXPECT_EQ(kept(), Numbers{30});
  EXPECT_EQ(names_in(at()), Strings{"step-30"});
  EXPECT_EQ(newest(), 30);
}

TEST_F(Steps, PruneDeletesNothingWhileTheNewestIsNotWhole) {
  save_all({1, 2, 3});
  put(at() / "step-3/weights", "damaged");
  prune_steps(at(), {.keep_last = 1});
  EXPECT_EQ(kept(), (Numbers{1, 2, 3}));
}

TEST_F(Steps, PruneRemovesWhatDeadRunsLeftAndNothingElse) {
  save_all({1});
  for (const char* name : {"step-2.tmp-123", "step-1.old-123", "step-1.tmp-old"})
    put(at() / name / "weights", "half");
  put(at() / "notes/tmp-1", "a person's");
  put(at() / "best.tmp-1", "a person's");
  prune_steps(at(), {});
  EXPECT_EQ(names_in(at()), (Strings{"best.tmp-1", "notes", "step-1"}));
  prune_steps(at() / "absent", {});
}

TEST_F(Steps, LockIsHeldByOneProcess) {
  const RunLock lock(at());
  const std::string told =
      in_child([&] { return error_of([&] { RunLock again(folder_.path()); }); });
  EXPECT_EQ(told, concat(at().string(), " is being written by another process (", getpid(),
                         "); wait for it, or give another --out"));
  expect_in(error_of([&] { RunLock again(at()); }), {concat("(", getpid(), ")")});
}

TEST_F(Steps, LockEndsWithItsHolder) {
  { const RunLock lock(at()); }
  EXPECT_EQ(in_child([&]() -> std::string {
              auto* held = new RunLock(at());
              (void)held;
              raise(SIGKILL);
              return "";
            }),
            "killed by signal 9");
  EXPECT_TRUE(fs::exists(at() / ".lock"));  // left behind, and no hindrance
  const RunLock lock(at());
  EXPECT_EQ(content_of(at() / ".lock"), std::to_string(getpid()));
}

TEST_F(Steps, LockNamesTheHolderEvenAfterALongerNumber) {
  put(at() / ".lock", "123456789012");
  const RunLock lock(at());
  EXPECT_EQ(content_of(at() / ".lock"), std::to_string(getpid()));
}

TEST_F(Steps, LockNeedsAFolderItCanWrite) {
  expect_in(error_of([&] { RunLock lock(at() / "absent"); }),
            {"absent/.lock: cannot be written: No such file or directory"});
  const FileLimit limit(0);
  expect_in(error_of([&] { RunLock lock(at()); }), {"/.lock: cannot be written: File too large"});
}

}  // namespace
}  // namespace pointwork::test
