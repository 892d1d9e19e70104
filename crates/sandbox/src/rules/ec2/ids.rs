//! Ids: their form, and the words for one that is malformed or names nothing.

use std::collections::BTreeMap;

use crate::refusal::Refusal;

/// One kind of id. AWS spells the codes of each kind in its own way, so they are listed and not put together.
pub(super) struct Kind {
    prefix: &'static str,
    malformed: &'static str,
    not_found: &'static str,
    noun: &'static str,
}

pub(super) const VPC: Kind =
    Kind { prefix: "vpc", malformed: "InvalidVpcID.Malformed", not_found: "InvalidVpcID.NotFound", noun: "vpc ID" };
pub(super) const SUBNET: Kind = Kind {
    prefix: "subnet",
    malformed: "InvalidSubnetID.Malformed",
    not_found: "InvalidSubnetID.NotFound",
    noun: "subnet ID",
};
pub(super) const GATEWAY: Kind = Kind {
    prefix: "igw",
    malformed: "InvalidInternetGatewayId.Malformed",
    not_found: "InvalidInternetGatewayID.NotFound",
    noun: "internetGateway ID",
};
pub(super) const GROUP: Kind = Kind {
    prefix: "sg",
    malformed: "InvalidGroupId.Malformed",
    not_found: "InvalidGroup.NotFound",
    noun: "security group",
};
pub(super) const RULE: Kind = Kind {
    prefix: "sgr",
    malformed: "InvalidSecurityGroupRuleId.Malformed",
    not_found: "InvalidSecurityGroupRuleId.NotFound",
    noun: "security group rule ID",
};
pub(super) const INTERFACE: Kind = Kind {
    prefix: "eni",
    malformed: "InvalidNetworkInterfaceId.Malformed",
    not_found: "InvalidNetworkInterfaceID.NotFound",
    noun: "networkInterface ID",
};

pub(super) const TABLE: Kind = Kind {
    prefix: "rtb",
    malformed: "InvalidRouteTableId.Malformed",
    not_found: "InvalidRouteTableID.NotFound",
    noun: "routeTable ID",
};
/// What ties a route table to a subnet.
pub(super) const TIE: Kind = Kind {
    prefix: "rtbassoc",
    malformed: "InvalidRouteTableAssociationId.Malformed",
    not_found: "InvalidAssociationID.NotFound",
    noun: "association ID",
};
pub(super) const ALLOCATION: Kind = Kind {
    prefix: "eipalloc",
    malformed: "InvalidAllocationID.Malformed",
    not_found: "InvalidAllocationID.NotFound",
    noun: "allocation ID",
};
pub(super) const NAT: Kind =
    Kind { prefix: "nat", malformed: "NatGatewayMalformed", not_found: "NatGatewayNotFound", noun: "NAT gateway" };
/// A NAT gateway where it is the target of a route: the codes are others.
pub(super) const NAT_TARGET: Kind = Kind {
    prefix: "nat",
    malformed: "InvalidNatGatewayID.Malformed",
    not_found: "InvalidNatGatewayID.NotFound",
    noun: "natGateway ID",
};
/// An internet gateway where it is the target of a route.
pub(super) const GATEWAY_TARGET: Kind = Kind {
    prefix: "igw",
    malformed: "InvalidGatewayID.Malformed",
    not_found: "InvalidGatewayID.NotFound",
    noun: "gateway ID",
};
pub(super) const ENDPOINT: Kind = Kind {
    prefix: "vpce",
    malformed: "InvalidVpcEndpointId.Malformed",
    not_found: "InvalidVpcEndpointId.NotFound",
    noun: "Vpc Endpoint Id",
};

impl Kind {
    /// The form alone: the prefix, and 8 to 17 hexadecimal digits.
    pub(super) fn check(&self, id: &str) -> Result<(), Refusal> {
        let digits = id.strip_prefix(self.prefix).and_then(|rest| rest.strip_prefix('-')).unwrap_or_default();
        if (8..=17).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            Ok(())
        } else {
            Err(Refusal::new(self.malformed, format!("Invalid id: \"{id}\" (expecting \"{}-...\")", self.prefix)))
        }
    }

    /// The refusal for an id that names nothing.
    pub(super) fn not_found(&self, id: &str) -> Refusal {
        Refusal::new(self.not_found, format!("The {} '{id}' does not exist", self.noun))
    }

    /// What an id names.
    pub(super) fn find<'a, T>(&self, all: &'a BTreeMap<String, T>, id: &str) -> Result<&'a T, Refusal> {
        self.check(id)?;
        all.get(id).ok_or_else(|| self.not_found(id))
    }

    /// What a list of ids names; all of them must exist.
    pub(super) fn check_all<T>(&self, all: &BTreeMap<String, T>, ids: &[&str]) -> Result<(), Refusal> {
        ids.iter().try_for_each(|id| self.find(all, id).map(drop))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_checked_before_existence() {
        let none = BTreeMap::<String, ()>::new();
        for bad in ["", "vpc", "vpc-", "vpc-123", "subnet-00000001", "vpc-0000000g", "VPC-00000001"] {
            assert_eq!(VPC.find(&none, bad).unwrap_err().code, "InvalidVpcID.Malformed", "{bad}");
        }
        for absent in ["vpc-00000001", "vpc-0123456789abcdef0"] {
            assert_eq!(VPC.find(&none, absent).unwrap_err().code, "InvalidVpcID.NotFound", "{absent}");
        }
    }
}
