use std::sync::Arc;

use crate::login::Login;
use crate::login::Refused;

use super::seats::Seats;

/// Shows how full a front is, while it runs and after. All clones show the same one.
#[derive(Clone, Debug)]
pub struct Occupancy {
    seats: Arc<Seats>,
    login: Option<Arc<Login>>,
}

impl Occupancy {
    pub(super) fn new(seats: Arc<Seats>, login: Option<Arc<Login>>) -> Self {
        Self { seats, login }
    }

    /// How many connections there are now.
    pub fn connections(&self) -> usize {
        self.seats.count()
    }

    /// How many there may be: in all, and of one client.
    pub fn max_connections(&self) -> (usize, usize) {
        self.seats.most()
    }

    /// How many connections were closed unserved, since the start: their client had too many.
    pub fn turned_away(&self) -> u64 {
        self.seats.refused()
    }

    /// How many logins were refused, where one is needed.
    pub fn refused(&self) -> Option<Refused> {
        self.login.as_ref().map(|login| login.refused())
    }
}
