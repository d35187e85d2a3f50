//! What limits cost a request.

fn main() {
    divan::main();
}
