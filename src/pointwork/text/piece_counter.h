#pragma once
// Counts the pieces of much text on several threads.

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "pointwork/text/piece_counts.h"

namespace pointwork {

class PieceCounter {
 public:
  explicit PieceCounter(int threads);  // 0: all cores
  ~PieceCounter();                     // without finish(), work not begun is dropped
  PieceCounter(const PieceCounter&) = delete;
  PieceCounter& operator=(const PieceCounter&) = delete;

  void push(std::string_view text);  // waits while much is not yet counted
  PieceCounts finish();              // to be called once

 private:
  using Batch = std::vector<std::string>;
  void work();
  void hand_over();
  void join();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Batch> waiting_;
  bool finished_ = false;
  std::exception_ptr failure_;
  PieceCounts total_;
  std::vector<std::thread> workers_;
  Batch batch_;
  size_t batch_bytes_ = 0;
};

}  // namespace pointwork
