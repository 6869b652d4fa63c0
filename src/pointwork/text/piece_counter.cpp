#include "pointwork/text/piece_counter.h"

#include <algorithm>
#include <utility>

namespace pointwork {
namespace {

constexpr size_t kBatchBytes = size_t{1} << 18;  // much more than handing it over costs
constexpr size_t kWaiting = 2;                   // batches a thread
constexpr size_t kOwn = size_t{1} << 16;         // different pieces a thread keeps to itself

}  // namespace

PieceCounter::PieceCounter(int threads) {
  const unsigned count = threads > 0 ? static_cast<unsigned>(threads)
                                     : std::max(1u, std::thread::hardware_concurrency());
  for (unsigned i = 0; i < count; ++i) workers_.emplace_back([this] { work(); });
}

PieceCounter::~PieceCounter() {
  {
    const std::lock_guard lock(mutex_);
    waiting_.clear();
  }
  join();
}

void PieceCounter::join() {
  {
    const std::lock_guard lock(mutex_);
    finished_ = true;
  }
  changed_.notify_all();
  for (std::thread& worker : workers_) {
    if (worker.joinable()) worker.join();
  }
}

void PieceCounter::push(std::string_view text) {
  batch_.emplace_back(text);
  batch_bytes_ += text.size();
  if (batch_bytes_ >= kBatchBytes) hand_over();
}

void PieceCounter::hand_over() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return waiting_.size() < kWaiting * workers_.size() || failure_; });
  if (failure_) std::rethrow_exception(failure_);
  waiting_.push_back(std::exchange(batch_, {}));
  batch_bytes_ = 0;
  changed_.notify_all();
}

void PieceCounter::work() {
  try {
    PieceCounts own;
    while (true) {
      Batch batch;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return !waiting_.empty() || finished_; });
        if (waiting_.empty()) {
          total_.add_all(own);
          return;
        }
        batch = std::move(waiting_.front());
        waiting_.pop_front();
        changed_.notify_all();
      }
      for (const std::string& text : batch) own.add_text(text);
      if (own.size() > kOwn) {
        const std::lock_guard lock(mutex_);
        total_.add_all(own);
        own.clear();
      }
    }
  } catch (...) {
    const std::lock_guard lock(mutex_);
    failure_ = std::current_exception();
    changed_.notify_all();
  }
}

PieceCounts PieceCounter::finish() {
  if (!batch_.empty()) hand_over();
  join();
  if (failure_) std::rethrow_exception(failure_);
  return std::move(total_);
}

}  // namespace pointwork
