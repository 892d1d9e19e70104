//! Address ranges in CIDR notation.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::refusal::Refusal;

/// An IPv4 range in canonical form: AWS takes host bits and clears them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range4 {
    first: u32,
    pub(super) length: u8,
}

impl Range4 {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let address: Ipv4Addr = address.parse().ok()?;
        let length = parse_length(length, 32)?;
        Some(Self { first: u32::from(address) & mask4(length), length })
    }

    /// As a parameter of a call.
    pub(super) fn given(text: &str) -> Result<Self, Refusal> {
        Self::parse(text).ok_or_else(|| Refusal::value(text, "cidrBlock", "This is not a valid CIDR block."))
    }

    pub(super) fn contains(self, other: Self) -> bool {
        self.length <= other.length && other.first & mask4(self.length) == self.first
    }

    pub(super) fn overlaps(self, other: Self) -> bool {
        self.contains(other) || other.contains(self)
    }

    pub(super) fn has(self, address: Ipv4Addr) -> bool {
        u32::from(address) & mask4(self.length) == self.first
    }

    /// How many addresses AWS lets one use: it keeps five of each subnet.
    pub(super) fn usable(self) -> u64 {
        (1_u64 << (32 - u32::from(self.length))).saturating_sub(5)
    }

    /// The addresses that AWS gives out, in order: not the first four, not the last.
    pub(super) fn addresses(self) -> impl Iterator<Item = Ipv4Addr> {
        let first = u64::from(self.first);
        (first + 4..first + 4 + self.usable()).filter_map(|address| u32::try_from(address).ok()).map(Ipv4Addr::from)
    }
}

fn parse_length(text: &str, most: u8) -> Option<u8> {
    let plain = !text.is_empty() && text.len() <= 3 && text.bytes().all(|digit| digit.is_ascii_digit());
    text.parse().ok().filter(|length| plain && *length <= most)
}

fn mask4(length: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0)
}

fn mask6(length: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
}

impl fmt::Display for Range4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.first), self.length)
    }
}

/// An IPv6 range in canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range6 {
    first: u128,
    pub(super) length: u8,
}

impl Range6 {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let address: Ipv6Addr = address.parse().ok()?;
        let length = parse_length(length, 128)?;
        Some(Self { first: u128::from(address) & mask6(length), length })
    }

    /// The range that Amazon provides to the VPC with this number.
    pub(super) fn provided(number: u32) -> Self {
        let [.., high, middle, low] = number.to_be_bytes();
        let address =
            Ipv6Addr::new(0x2600, 0x1f18, u16::from_be_bytes([high, middle]), u16::from_be_bytes([low, 0]), 0, 0, 0, 0);
        Self { first: u128::from(address), length: 56 }
    }

    pub(super) fn contains(self, other: Self) -> bool {
        self.length <= other.length && other.first & mask6(self.length) == self.first
    }
}

impl fmt::Display for Range6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv6Addr::from(self.first), self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_bits_are_cleared() {
        assert_eq!(Range4::parse("100.68.0.18/18").unwrap().to_string(), "100.68.0.0/18");
        assert_eq!(Range4::parse("1.2.3.4/0").unwrap().to_string(), "0.0.0.0/0");
        assert_eq!(Range6::parse("2001:db8::1/32").unwrap().to_string(), "2001:db8::/32");
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for bad in ["", "10.0.0.0", "10.0.0/16", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0.0/", "256.0.0.0/8", "::/0"] {
            assert_eq!(Range4::parse(bad), None, "{bad}");
        }
        for bad in ["::", "::/129", "10.0.0.0/8"] {
            assert_eq!(Range6::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn ranges_contain_and_overlap() {
        let range = |text| Range4::parse(text).unwrap();
        assert!(range("10.0.0.0/16").contains(range("10.0.255.0/24")));
        assert!(!range("10.0.0.0/16").contains(range("10.1.0.0/24")));
        assert!(range("10.0.1.0/24").overlaps(range("10.0.0.0/16")));
        assert!(!range("10.0.1.0/24").overlaps(range("10.0.2.0/24")));
        assert!(range("0.0.0.0/0").contains(range("255.255.255.255/32")));
    }

    #[test]
    fn five_addresses_of_a_subnet_are_kept() {
        let range = Range4::parse("10.0.0.0/28").unwrap();
        let addresses: Vec<String> = range.addresses().map(|address| address.to_string()).collect();
        assert_eq!((range.usable(), addresses.len()), (11, 11));
        assert_eq!((addresses[0].as_str(), addresses[10].as_str()), ("10.0.0.4", "10.0.0.14"));
    }

    #[test]
    fn provided_ranges_differ() {
        assert_eq!(Range6::provided(1).to_string(), "2600:1f18:0:100::/56");
        assert_ne!(Range6::provided(1), Range6::provided(257));
    }
}
