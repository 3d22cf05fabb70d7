//! What the parts cost that every step goes through, without database and network: `make bench-micro`.
//!
//! Each line has the time and, below it, the allocations of one pass. `make bench-micro W=batches` measures one family.

mod batches;
mod events;
mod machine;
mod shapes;
mod story;
mod templates;

use divan::AllocProfiler;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}
