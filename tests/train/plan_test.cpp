#include "pointwork/train/plan.h"

#include "pointwork/train/schedule.h"
#include "tests/train/cases.h"

namespace pointwork::test {
namespace {

std::vector<double> course(const ScheduleConfig& schedule, int64_t steps, double peak = 1) {
  std::vector<double> rates;
  for (int64_t step = 0; step < steps; ++step)
    rates.push_back(learning_rate_at(schedule, peak, step, steps));
  return rates;
}

void expect_course(const std::vector<double>& got, const std::vector<double>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-15) << "step " << i;
}

TEST(Schedule, HandValues) {
  const double half = std::sqrt(0.5);
  expect_course(course({.kind = ScheduleKind::constant, .warmup_steps = 4}, 7),
                {0.25, 0.5, 0.75, 1, 1, 1, 1});
  expect_course(course({.kind = ScheduleKind::linear, .warmup_steps = 2, .final_share = 0.5}, 7),
                {0.5, 1, 1, 0.875, 0.75, 0.625, 0.5});
  expect_course(course({.kind = ScheduleKind::cosine, .warmup_steps = 1, .final_share = 0.2}, 6),
                {1, 1, 0.2 + 0.4 * (1 + half), 0.6, 0.2 + 0.4 * (1 - half), 0.2});
  // The peak until the last two fifths, then down to a tenth.
  expect_course(
      course({.kind = ScheduleKind::wsd, .warmup_steps = 2, .final_share = 0.1, .decay_share = 0.4},
             10),
      {0.5, 1, 1, 1, 1, 1, 1, 0.7, 0.4, 0.1});
  // A warm-up by share is rounded up, and wins over steps.
  expect_course(
      course({.kind = ScheduleKind::constant, .warmup_steps = 9, .warmup_share = 0.3}, 5, 2),
      {1, 2, 2, 2, 2});
  expect_course(course({.kind = ScheduleKind::cosine, .warmup_steps = 0, .final_share = 0}, 3),
                {1, 0.5, 0});
}

TEST(Schedule, OddSizesStayWithinTheirBounds) {
  for (const auto& [name, kind] : EnumNames<ScheduleKind>::names) {
    for (const int64_t steps : {1, 2, 3, 10}) {
      for (const int64_t warmup : {0, 1, 3, 1000}) {
        for (const double decay : {0.0, 0.5, 1.0}) {
          const ScheduleConfig schedule{.kind = kind, .warmup_steps = warmup, .decay_share = decay};
          for (const double rate : course(schedule, steps)) {
            EXPECT_GT(rate, 0) << name;
            EXPECT_LE(rate, 1) << name;
          }
        }
      }
    }
  }
}

// A step's FLOPs are 3 x forward of every sequence of every micro-batch.
double step_flops(const Model& model, int64_t step) {
  const TrainConfig& train = model.config().train;
  const Extent one{.rows = {static_cast<double>(train.sequence_length)}, .step = step};
  return 3 * total_flops(model.flops(one)) *
         static_cast<double>(train.batch_size * train.gradient_accumulation_steps);
}

const std::vector<Override> kBatch = {{"train.batch_size", "3"},
                                      {"train.gradient_accumulation_steps", "2"}};

std::vector<Override> budget(const std::string& key, const std::string& value) {
  std::vector<Override> all = kBatch;
  all.push_back({key, value});
  return all;
}

TEST(Plan, Budgets) {
  constexpr int64_t kTokens = 3 * 2 * 24;
  const auto plan = [](const std::string& key, const std::string& value) {
    return make_plan(Model(byte_config("mod_predictor", budget(key, value))));
  };
  const Model model(byte_config("mod_predictor", kBatch));
  const double each = step_flops(model, 0);

  const Plan steps = plan("train.steps", "7");
  EXPECT_EQ(steps.steps, 7);
  EXPECT_EQ(steps.tokens_per_step, kTokens);
  EXPECT_DOUBLE_EQ(steps.flops, 7 * each);
  EXPECT_EQ(plan("train.tokens", std::to_string(10 * kTokens + 60)).steps, 10);
  EXPECT_EQ(plan("train.tokens", std::to_string(10 * kTokens + 80)).steps, 11);
  EXPECT_EQ(plan("train.tokens", "1").steps, 1);
  const Plan flops = plan("train.flops", std::to_string(5.4 * each));
  EXPECT_EQ(flops.steps, 5);
  EXPECT_DOUBLE_EQ(flops.flops, 5 * each);
  EXPECT_EQ(plan("train.flops", std::to_string(5.6 * each)).steps, 6);
  EXPECT_EQ(plan("train.flops", "1").steps, 1);
  expect_in(error_of([&] { plan("train.flops", "1e300"); }), {"train.flops", "1e+300"});

  Config none = byte_config("dense");
  none.train.steps = 0;
  expect_in(error_of([&] { make_plan(Model(none)); }), {"train.steps", "train.flops", "0 are"});
  none.train.steps = none.train.tokens = 5;
  expect_in(error_of([&] { make_plan(Model(none)); }), {"2 are"});
}

// Capacity 1 at step 0, 0.25 from step 8 on, four values: 1, 0.75, 0.5, 0.25.
TEST(Plan, ScheduledCapacitiesAreSummedStepByStep) {
  const Model model(byte_config("mod_scheduled", kBatch));
  EXPECT_EQ(capacity_changes(model.config()), (std::vector<int64_t>{0, 3, 6, 8}));
  double sum = 0, last = INFINITY;
  for (int64_t steps = 0; steps < 12; ++steps) {
    EXPECT_NEAR(flops_until(model, steps), sum, 1e-12 * sum) << steps;
    const double each = step_flops(model, steps);
    EXPECT_LE(each, last);
    EXPECT_EQ(each < last, steps == 0 || steps == 3 || steps == 6 || steps == 8) << steps;
    // A budget of FLOPs takes the number of steps that comes nearest.
    if (steps > 0) {
      for (const double share : {-0.4, 0.0, 0.4}) {
        const double less = share < 0 ? step_flops(model, steps - 1) : each;
        const Plan plan = make_plan(Model(byte_config(
            "mod_scheduled", budget("train.flops", std::to_string(sum + share * less)))));
        EXPECT_EQ(plan.steps, steps) << share;
        EXPECT_NEAR(plan.flops, sum, 1e-12 * sum);
      }
    }
    sum += each;
    last = each;
  }
  const Config dense = byte_config("dense");
  EXPECT_EQ(capacity_changes(dense), std::vector<int64_t>{0});
}

// By hand, for the widths of the test configs: D 32, F 128, S 24, V 257, four blocks.
TEST(Plan, FlopsOfAModel) {
  constexpr double kS = 24, kD = 32, kV = 257;
  const auto block = [](double rows) {
    return rows * 24 * kD * kD + 4 * kD * rows * (rows + 1) / 2;
  };
  const Model dense(byte_config("dense")), routed(byte_config("mod_predictor"));
  const ModelFlops d = model_flops(dense, 24, 0), m = model_flops(routed, 24, 0);
  const double head = 2 * kD * kV;
  EXPECT_DOUBLE_EQ(d.expected.forward, 4 * block(kS) / kS + head);
  const double router = 2 * kD + 2 * (kD * kD / 2 + kD / 2);
  EXPECT_DOUBLE_EQ(m.expected.forward, 2 * (block(kS) + block(6)) / kS + 2 * router + head);
  for (const ModelFlops* flops : {&d, &m}) {
    EXPECT_DOUBLE_EQ(flops->expected.train, 3 * flops->expected.forward);
    EXPECT_LE(flops->expected.decode, flops->bound.decode);
  }
  EXPECT_DOUBLE_EQ(m.expected.forward, m.bound.forward);
  // Attention in full: the pairs that the mask hides are counted too.
  EXPECT_DOUBLE_EQ(d.palm_train, 3 * (d.expected.forward + 4 * 4 * kD * (kS - 1) / 2));
  EXPECT_DOUBLE_EQ(d.parameters, static_cast<double>(dense.parameter_count()));
  EXPECT_DOUBLE_EQ(d.active_parameters, d.parameters);
  EXPECT_LT(m.active_parameters, m.parameters);
}

}  // namespace
}  // namespace pointwork::test
