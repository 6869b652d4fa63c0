#include "pointwork/log/train_line.h"

#include <algorithm>
#include <cstdio>
#include <vector>

#include "pointwork/log/terminal.h"

namespace pointwork {
namespace {

constexpr double kRedraw = 0.1, kPlainEvery = 5;  // seconds
constexpr int kBarColumns = 40;

std::string loss_text(double loss) {
  char text[32];
  std::snprintf(text, sizeof text, std::fabs(loss) < 1e6 ? "%.3f" : "%.3g", loss);
  return text;
}

std::string norm_text(double norm) {
  char text[32];
  std::snprintf(text, sizeof text, std::fabs(norm) < 1e4 ? "%.2f" : "%.2g", norm);
  return text;
}

struct Field {
  std::string text;
  int rank;  // the greatest goes first where there is no room
};

std::vector<Field> fields_of(const TrainLine& line) {
  const auto known = [](const std::optional<double>& value) {
    return value && std::isfinite(*value);
  };
  std::vector<Field> fields;
  fields.push_back({"step " + std::to_string(line.step) +
                        (line.total_steps > 0 ? "/" + std::to_string(line.total_steps) : ""),
                    0});
  fields.push_back({"loss " + loss_text(line.loss), 0});
  if (line.validation_loss) fields.push_back({"val " + loss_text(*line.validation_loss), 1});
  fields.push_back({"lr " + scientific_text(line.learning_rate), 7});
  fields.push_back({"|g| " + norm_text(line.grad_norm), 8});
  fields.push_back({rate_text(line.tokens_per_second, "tok"), 3});
  if (std::isfinite(line.mfu) && line.mfu > 0) {
    fields.push_back({"MFU " + percent_text(line.mfu, line.mfu < 0.0995 ? 1 : 0), 6});
  }
  if (known(line.routed_share)) {
    fields.push_back({"routed " + percent_text(*line.routed_share, 1), 4});
  }
  if (known(line.agreement)) fields.push_back({"agree " + percent_text(*line.agreement, 1), 5});
  if (line.peak_memory_bytes > 0) fields.push_back({bytes_text(line.peak_memory_bytes), 9});
  const bool done = line.total_steps > 0 && line.step >= line.total_steps;
  if (!done && std::isfinite(line.eta_seconds) && line.eta_seconds >= 0) {
    fields.push_back({"ETA " + duration_text(line.eta_seconds), 2});
  }
  return fields;
}

std::string joined(const std::vector<Field>& fields) {
  std::string text;
  for (const Field& field : fields) text += (text.empty() ? "" : "  ") + field.text;
  return text;
}

}  // namespace

std::string train_line_text(const TrainLine& line, int columns) {
  std::vector<Field> fields = fields_of(line);
  std::string text = joined(fields);
  while (columns > 0 && display_width(text) > columns) {
    const auto least =
        std::max_element(fields.begin(), fields.end(),
                         [](const Field& a, const Field& b) { return a.rank < b.rank; });
    if (least->rank == 0) break;
    fields.erase(least);
    text = joined(fields);
  }
  return text;
}

TrainDisplay::TrainDisplay(const DisplayOptions& options)
    : options_(options), live_(is_live(options)), area_(options), start_(seconds_now(options)) {}

TrainDisplay::~TrainDisplay() { finish(); }

void TrainDisplay::draw() {
  if (!live_) {
    area_.leave({train_line_text(*line_)});
  } else {
    const int columns = width_of(options_) - 1;
    const double share = line_->total_steps > 0 ? static_cast<double>(line_->step) /
                                                      static_cast<double>(line_->total_steps)
                                                : 0;
    std::vector<std::string> rows = {train_line_text(*line_, columns)};
    if (line_->total_steps > 0) {
      const std::string after = "  " + percent_text(std::floor(100 * share) / 100, 0) + "  " +
                                duration_text(seconds_now(options_) - start_);
      const int room = columns - display_width(after);
      rows.push_back(bar_text(share, std::clamp(room, 0, kBarColumns)) + after);
    }
    area_.show(rows);
  }
  fresh_ = false;
}

void TrainDisplay::update(const TrainLine& line) {
  if (options_.quiet) return;
  const bool first = !line_;
  line_ = line;
  fresh_ = true;
  const double now = seconds_now(options_);
  if (!first && now - shown_at_ < (live_ ? kRedraw : kPlainEvery)) return;
  draw();
  shown_at_ = now;
}

void TrainDisplay::message(const std::string& text) {
  if (!options_.quiet) area_.above(text);
}

void TrainDisplay::warning(const std::string& text) { area_.above(text); }

void TrainDisplay::finish() {
  if (!line_) return;
  if (live_) {
    area_.leave({train_line_text(*line_)});
  } else if (fresh_) {
    draw();
  }
  line_.reset();
  fresh_ = false;
}

}  // namespace pointwork
