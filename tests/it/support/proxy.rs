//! A way to Postgres that can be troubled: cut at a chosen statement, silent, or closed.
//!
//! It listens on loopback and forwards to the cluster's socket, message by message, so that it knows which statement
//! passes. [`Proxy::cut_at`] is the case that nobody can tell from the outside: a statement was sent, and the
//! connection ends before the answer. [`Proxy::refuse`] answers in the server's stead.

mod message;
mod refusal;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::unix;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{oneshot, watch};

use super::database::Database;
use super::pooler;
use message::{Message, Statements};
use refusal::Refusals;

/// When a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Instead of sending the statement: it is not done.
    BeforeSending,
    /// Right after sending it: nobody knows.
    AfterSending,
    /// When the server has answered, instead of passing the answer on: it is done.
    BeforeAnswer,
    /// Never: it is not sent, and the connection stays as it is, without a word.
    Never,
}

/// What happens to all that passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Open,
    Silent,
    Closed,
}

/// A way to Postgres.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    mode: watch::Sender<Mode>,
    /// Raised to end all connections that are open.
    generation: watch::Sender<u64>,
    /// How many statements were executed.
    executed: watch::Sender<u64>,
    /// How many connections were turned away.
    refused: watch::Sender<u64>,
    log: Mutex<Vec<String>>,
    trap: Mutex<Option<Trap>>,
    refusals: Refusals,
    /// How late answers are.
    delay: watch::Sender<Duration>,
    /// Where the server listens.
    socket: Mutex<PathBuf>,
}

#[derive(Debug)]
struct Trap {
    part: String,
    cut: Cut,
    sprung: oneshot::Sender<()>,
}

impl Proxy {
    /// A way to the cluster, open.
    pub async fn start() -> Self {
        Self::start_to(pooler::upstream()).await
    }

    /// A way to the server that listens on this socket, open.
    pub async fn start_to(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            mode: watch::Sender::new(Mode::Open),
            generation: watch::Sender::new(0),
            executed: watch::Sender::new(0),
            refused: watch::Sender::new(0),
            log: Mutex::default(),
            trap: Mutex::default(),
            refusals: Refusals::default(),
            delay: watch::Sender::new(Duration::ZERO),
            socket: Mutex::new(socket),
        });
        tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared }
    }

    /// Where a client connects to a database by this way.
    pub fn url(&self, database: &Database) -> String {
        format!(
            "postgres://synapps@{}/{}?sslmode=disable",
            self.address,
            database.name()
        )
    }

    /// Cuts the connection of the next statement whose text contains `part`, once; the receiver says that it has
    /// happened.
    pub fn cut_at(&self, part: &str, cut: Cut) -> oneshot::Receiver<()> {
        let (sprung, has_sprung) = oneshot::channel();
        *self.shared.trap.lock().unwrap() = Some(Trap {
            part: part.to_owned(),
            cut,
            sprung,
        });
        has_sprung
    }

    /// Answers every statement whose text contains `part` with an error of this SQLSTATE, and does not send it.
    pub fn refuse(&self, part: &str, code: &'static str) {
        self.shared.refusals.refuse(part, code);
    }

    /// Turns every new session away with this SQLSTATE.
    pub fn refuse_sessions(&self, code: &'static str) {
        self.shared.refusals.refuse_sessions(code);
    }

    /// Ends what [`Proxy::refuse`] and [`Proxy::refuse_sessions`] have begun.
    pub fn relent(&self) {
        self.shared.refusals.relent();
    }

    /// Ends all connections; new ones are taken.
    pub fn cut_all(&self) {
        self.shared
            .generation
            .send_modify(|generation| *generation += 1);
    }

    /// Lets nothing pass any more, and ends nothing: as a network that loses everything.
    pub fn silence(&self) {
        self.shared.mode.send_replace(Mode::Silent);
    }

    /// From now on each answer comes so much later; [`Duration::ZERO`] ends that.
    pub fn delay(&self, by: Duration) {
        self.shared.delay.send_replace(by);
    }

    /// The server listens on this socket now.
    pub fn lead_to(&self, socket: PathBuf) {
        *self.shared.socket.lock().unwrap() = socket;
    }

    /// Ends all connections and takes none: as a server that is down.
    pub fn close(&self) {
        self.shared.mode.send_replace(Mode::Closed);
        self.cut_all();
    }

    /// Lets everything pass again; what was held back by [`Proxy::silence`] passes now.
    pub fn open(&self) {
        self.shared.mode.send_replace(Mode::Open);
    }

    /// The texts of the statements that were executed so far, by all connections, in order.
    pub fn statements(&self) -> Vec<String> {
        self.shared.log.lock().unwrap().clone()
    }

    /// How many statements whose text contains `part` were executed so far.
    pub fn count(&self, part: &str) -> usize {
        let log = self.shared.log.lock().unwrap();
        log.iter().filter(|text| text.contains(part)).count()
    }

    /// Waits until `count` statements whose text contains `part` were executed.
    pub async fn executed(&self, part: &str, count: usize) {
        let mut executed = self.shared.executed.subscribe();
        let wait = executed.wait_for(|_| self.count(part) >= count);
        super::within("statements", wait).await.unwrap();
    }

    /// Waits until `count` connections were turned away by [`Proxy::close`].
    pub async fn refused(&self, count: u64) {
        let mut refused = self.shared.refused.subscribe();
        let wait = refused.wait_for(|refused| *refused >= count);
        super::within("refused connections", wait).await.unwrap();
    }
}

impl Shared {
    /// Notes that a statement is executed, or was to be.
    fn note(&self, text: &str) {
        self.log.lock().unwrap().push(text.to_owned());
        self.executed.send_modify(|count| *count += 1);
    }

    /// Takes the trap if it is set for this statement.
    fn step_into(&self, text: &str) -> Option<Trap> {
        let mut trap = self.trap.lock().unwrap();
        trap.take_if(|trap| text.contains(&trap.part))
    }

    /// Waits until what is on its way may pass; `false` if the way is closed.
    async fn passable(&self) -> bool {
        let mut mode = self.mode.subscribe();
        let mode = mode.wait_for(|mode| *mode != Mode::Silent).await;
        mode.is_ok_and(|mode| *mode == Mode::Open)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        let mut generation = shared.generation.subscribe();
        tokio::spawn(async move {
            tokio::select! {
                () = forward(client, &shared) => {}
                _ = generation.changed() => {}
            }
        });
    }
}

/// Forwards until either side ends or a trap says so.
async fn forward(client: TcpStream, shared: &Shared) {
    if !shared.passable().await {
        shared.refused.send_modify(|count| *count += 1);
        return;
    }
    client.set_nodelay(true).unwrap();
    let socket = shared.socket.lock().unwrap().clone();
    let Ok(server) = UnixStream::connect(socket).await else {
        // It is being restarted: the client sees that nobody is there.
        return;
    };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let answer = watch::Sender::new(Answer::Passed);
    let to_client = tokio::sync::Mutex::new(to_client);
    tokio::select! {
        () = requests(from_client, to_server, shared, &answer, &to_client) => {}
        () = answers(from_server, &to_client, shared, &answer) => {}
    }
}

/// What becomes of the server's answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Passed,
    /// The connection ends when this one is complete, and the client sees nothing of it.
    Swallowed,
    Complete,
}

async fn requests(
    from: OwnedReadHalf,
    mut to: unix::OwnedWriteHalf,
    shared: &Shared,
    answer: &watch::Sender<Answer>,
    to_client: &tokio::sync::Mutex<OwnedWriteHalf>,
) {
    let mut from = BufReader::new(from);
    let mut statements = Statements::default();
    let mut trap: Option<Trap> = None;
    let mut refusal = None;
    let mut started = false;
    while let Some(message) = Message::read(&mut from, started).await {
        if message.starts_session()
            && !started
            && let Some(refusal) = shared.refusals.of_session()
        {
            return refusal.turn_away(&mut *to_client.lock().await).await;
        }
        started |= message.starts_session();
        if !shared.passable().await {
            return;
        }
        if let Some(text) = statements.executed_by(&message) {
            refusal = shared.refusals.of_statement(&text);
            shared.note(&text);
            if refusal.is_none() {
                trap = shared.step_into(&text).or(trap);
            }
        }
        if let Some(refused) = &refusal {
            // Nothing of it is sent; the answer comes where the server's would.
            if message.asks_for_answer() {
                let goes_on = refused.answer(&mut *to_client.lock().await).await;
                refusal = None;
                if !goes_on {
                    return;
                }
            }
            continue;
        }
        if trap.as_ref().is_some_and(|trap| trap.cut == Cut::Never) {
            spring(trap);
            return std::future::pending().await;
        }
        if trap
            .as_ref()
            .is_some_and(|trap| trap.cut == Cut::BeforeSending)
        {
            return spring(trap);
        }
        // Before the message, or the answer might overtake it.
        if trap
            .as_ref()
            .is_some_and(|trap| trap.cut == Cut::BeforeAnswer)
        {
            answer.send_replace(Answer::Swallowed);
        }
        if to.write_all(&message.bytes).await.is_err() {
            return;
        }
        let sent = trap.is_some() && message.asks_for_answer();
        match trap.as_ref().map(|trap| trap.cut) {
            Some(Cut::AfterSending) if sent => return spring(trap),
            Some(Cut::BeforeAnswer) if sent => {
                let mut answer = answer.subscribe();
                // An error would mean that the connection has ended by itself.
                drop(answer.wait_for(|answer| *answer == Answer::Complete).await);
                return spring(trap);
            }
            _ => {}
        }
    }
}

async fn answers(
    from: unix::OwnedReadHalf,
    to: &tokio::sync::Mutex<OwnedWriteHalf>,
    shared: &Shared,
    answer: &watch::Sender<Answer>,
) {
    let mut from = BufReader::new(from);
    while let Some(message) = Message::read(&mut from, true).await {
        if *answer.borrow() == Answer::Swallowed {
            if message.is_ready_for_query() {
                answer.send_replace(Answer::Complete);
                // The other half ends the connection.
                return std::future::pending().await;
            }
            continue;
        }
        if message.is_ready_for_query() {
            let delay = *shared.delay.borrow();
            tokio::time::sleep(delay).await;
        }
        if !shared.passable().await || to.lock().await.write_all(&message.bytes).await.is_err() {
            return;
        }
    }
}

fn spring(trap: Option<Trap>) {
    if let Some(trap) = trap {
        // An error says that the test does not wait for it.
        trap.sprung.send(()).ok();
    }
}
